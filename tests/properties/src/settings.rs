//! The settings file.

use std::path::{Path, PathBuf};

use policy::settings::{Deliver, Essentials, LogTarget, PasswordSource, Problem, Settings};

const FILE: &str = "/etc/relayd/relayd.conf";
/// A value that no message may repeat where it stands as a password.
const SECRET: &str = "S3CR3T";

type Parsed = Result<Settings, Vec<Problem>>;

/// Reads the bytes as a settings file: what is wrong is told line by line and gives no password away; line ends, blanks
/// and comments change nothing; the part that the callers' programs read is the same to them.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let parsed = Settings::parse(&text, FILE);
    match &parsed {
        Ok(settings) => check_paths(settings.clone()),
        Err(problems) => check_problems(problems, &text),
    }
    check_essentials(&text, &parsed);
    check_variants(&text, &parsed);
}

fn check_problems(problems: &[Problem], text: &str) {
    let lines = text.lines().count();
    assert!((1..=100).contains(&problems.len()));
    // What is about the whole file comes last.
    let places = problems
        .iter()
        .map(|problem| (problem.line == 0, problem.line));
    assert!(places.is_sorted());
    for problem in problems {
        assert!(problem.file == FILE && problem.line <= lines, "{problem:?}");
        for words in [&problem.message, &problem.remedy] {
            assert!(
                !words.is_empty() && !words.contains(char::is_control),
                "{problem:?}"
            );
            assert!(words.len() < 1_000, "{problem:?}");
        }
        assert!(!gives_away(problem, text), "{problem:?}");
    }
}

/// Whether a problem repeats what stands as a password, and only as one.
fn gives_away(problem: &Problem, text: &str) -> bool {
    let is_secret = |line: &str| {
        let (name, _) = line.split_once('=').unwrap_or((line, ""));
        let word = name.trim().to_ascii_lowercase();
        ["password", "passwd", "pass"].contains(&&*word)
    };
    let only = text
        .lines()
        .all(|line| !line.contains(SECRET) || is_secret(line));
    only && problem.to_string().contains(SECRET)
}

/// The programs that hand mail in read the same as relayd, where relayd can read the file at all.
fn check_essentials(text: &str, parsed: &Parsed) {
    match (Essentials::parse(text, FILE), parsed) {
        (Ok(essentials), Ok(settings)) => {
            assert_eq!(essentials.paths, settings.paths);
            assert_eq!(essentials.message_size_limit, settings.message_size_limit);
        }
        (Ok(_), Err(_)) => {}
        (Err(problems), Err(_)) => check_problems(&problems, text),
        (Err(problems), Ok(_)) => panic!("{problems:?}"),
    }
}

/// The same lines, written in other ways.
fn check_variants(text: &str, parsed: &Parsed) {
    if text.contains('\r') {
        return;
    }
    let same_lines = text.replace('\n', "\r\n");
    assert_eq!(&Settings::parse(&same_lines, FILE), parsed);
    let spread = |line: &str| match line.starts_with('\u{FEFF}') {
        true => format!("{line}\n"),
        false => format!("\t{line} \n# a comment = [none]\n\n"),
    };
    let spaced: String = text.lines().map(spread).collect();
    // The blanks may make the file or a line too long.
    let is_long = spaced.len() > 256 * 1024 || text.lines().any(|line| line.len() > 1_990);
    if is_long {
        return;
    }
    match (Settings::parse(&spaced, FILE), parsed) {
        (Ok(one), Ok(other)) => assert_eq!(&one, other),
        (Err(ones), Err(others)) => assert_eq!(messages(&ones), messages(others)),
        (one, other) => panic!("{one:?}, not {other:?}"),
    }
}

/// What is wrong, without the numbers of lines.
fn messages(problems: &[Problem]) -> Vec<String> {
    let remedy = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    let told = |problem: &Problem| format!("{} {}", problem.message, remedy(&problem.remedy));
    problems.iter().map(told).collect()
}

/// Once resolved, every path is absolute, and stays as it is.
fn check_paths(mut settings: Settings) {
    settings.resolve_paths(Path::new("/etc/relayd"));
    let mut again = settings.clone();
    again.resolve_paths(Path::new("/somewhere/else"));
    assert_eq!(settings, again);
    let listen = &settings.listen;
    let mut paths: Vec<&PathBuf> = vec![&settings.paths.spool, &settings.paths.run];
    paths.extend(&settings.aliases);
    paths.extend(&settings.rewrite.senders);
    paths.extend(&settings.rewrite.recipients);
    paths.extend(
        [&listen.tls_cert, &listen.tls_key, &listen.users_file]
            .into_iter()
            .flatten(),
    );
    if let LogTarget::File(path) = &settings.log.to {
        paths.push(path);
    }
    for gateway in &settings.gateways {
        paths.extend(&gateway.ca_file);
        if let Deliver::Capture(path) = &gateway.deliver {
            paths.push(path);
        }
        if let Some(PasswordSource::File(path)) = &gateway.password {
            paths.push(path);
        }
        assert_eq!(gateway.user.is_some(), gateway.password.is_some());
        assert!(gateway.max_connections >= 1 && gateway.port >= 1);
    }
    assert!(paths.iter().all(|path| path.is_absolute()), "{settings:?}");
}
