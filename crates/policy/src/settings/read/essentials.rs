//! Reading the few settings that the programs of the callers need, whatever else the file says.

use super::{Block, Reader};
use crate::settings::nearest::nearest;
use crate::settings::{Essentials, Problem, Section, values};

/// Reads `[paths]` and the size limit; the rules are those of [`Essentials::parse`].
pub(in crate::settings) fn essentials(
    text: &str,
    file_name: &str,
) -> Result<Essentials, Vec<Problem>> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut reader = Reader::of(&only(text, Section::Paths));
    let paths = reader.paths();
    match paths.filter(|_| reader.problems.is_empty()) {
        Some(paths) => Ok(Essentials {
            paths,
            message_size_limit: size_limit(text),
        }),
        None => Err(reader.report(file_name)),
    }
}

/// The limit that the file sets, or the default if it sets none or something else.
fn size_limit(text: &str) -> u64 {
    let read = |text: &str| {
        let top = Block::of(Section::Top);
        Reader::of(text).value(&top, "message_size_limit", values::size)
    };
    read(&only(text, Section::Top))
        .or_else(|| read(""))
        .expect("the table's default is a size")
}

/// The lines of one section, the others left empty. A misspelt heading that seems to mean the
/// section counts, so that it is complained about.
pub(super) fn only(text: &str, wanted: Section) -> String {
    let mut here = Section::Top;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        if let Some(inside) = line.trim_start().strip_prefix('[') {
            here = meant(inside);
        }
        if here == wanted {
            kept.push_str(line);
        }
        kept.push('\n');
    }
    kept
}

/// The section that a heading means, read generously. One that is like none is taken for a
/// gateway: nobody asks for those here.
fn meant(inside: &str) -> Section {
    let headed = || {
        Section::ALL
            .into_iter()
            .filter(|section| *section != Section::Top)
    };
    let word = inside.split([' ', '\t', ']']).find(|word| !word.is_empty());
    let name = nearest(word.unwrap_or_default(), headed().map(Section::word));
    headed()
        .find(|section| Some(section.word()) == name)
        .unwrap_or(Section::Gateway)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Paths, Settings};

    fn least() -> Settings {
        Settings::parse("[gateway main]\nhost = h\n", "f").unwrap()
    }

    #[test]
    fn the_essentials_are_read_whatever_else_is_wrong() {
        let paths = "[paths]\nspool = s\nrun = r\n";
        let limit = "message_size_limit = 20k\n";
        let expected = |limit| Essentials {
            paths: Paths {
                spool: "s".into(),
                run: "r".into(),
            },
            message_size_limit: limit,
        };
        let default = least().message_size_limit;
        for (text, size) in [
            (format!("{limit}{paths}"), 20 * 1024),
            (format!("{limit}nonsense\nhostname = ?\n{paths}"), 20 * 1024),
            (format!("{paths}[gateway]\nhost\npassword = x\n"), default),
            (
                format!("{paths}[gatway a]\nspool = t\n[lisen\nrun = t\n"),
                default,
            ),
            (format!("[log] x\n]\n{paths}"), default),
            (format!("message_size_limit = huge\n{paths}"), default),
            (format!("{limit}{limit}{paths}"), 20 * 1024),
            (format!("\u{FEFF}{paths}"), default),
            (format!("{paths}[log]\n{}", "x".repeat(300_000)), default),
        ] {
            let read = Essentials::parse(&text, "relayd.conf");
            assert_eq!(read, Ok(expected(size)), "{text:.200}");
            assert!(
                Settings::parse(&text, "relayd.conf").is_err(),
                "{text:.200}"
            );
        }
        let none = Essentials::parse("", "relayd.conf").unwrap();
        assert_eq!(
            (none.paths, none.message_size_limit),
            (least().paths, default)
        );
    }

    #[test]
    fn wrong_paths_are_never_guessed() {
        for (line, text) in [
            (2, "[paths]\nspool s\n"),
            (2, "[paths]\nspol = s\n"),
            (2, "[paths]\nspool =\n"),
            (3, "[paths]\nspool = s\nspool = t\n"),
            (3, "[paths]\nspool = s\n[paths]\n"),
            (2, "[log]\n[path]\nspool = s\n"),
            (1, "[paths\nspool = s\n"),
            (1, " [Paths] \nspool = s\n"),
            (2, "[paths]\nrun = ~/run\n"),
        ] {
            let problems = Essentials::parse(text, "relayd.conf").expect_err(text);
            assert_eq!(problems[0].line, line, "{text}");
        }
    }
}
