//! The documents say what the code does: generated files are up to date, man pages render, and the README names
//! commands, settings and files that exist.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use policy::settings::{KEYS, Section, Settings};
use tests::program::built;

#[test]
fn generated_files_are_what_their_tables_say() {
    let output = Command::new(env!("CARGO_BIN_EXE_generate-docs"))
        .arg("--check")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn man_pages_render_without_a_warning() {
    let Ok(found) = Command::new("groff").arg("--version").output() else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED man_pages_render_without_a_warning: needs groff"
        );
        return;
    };
    assert!(found.status.success());
    let pages = man_pages();
    assert_eq!(pages.len(), 9, "{pages:?}");
    for page in pages {
        let output = Command::new("groff")
            .args(["-ww", "-man", "-Tutf8", "-z"])
            .arg(&page)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{}: {said}",
            page.display()
        );
    }
}

/// `.BR relayd (8)` and the like point at a page of ours.
#[test]
fn man_pages_refer_to_pages_that_exist() {
    let pages = man_pages();
    let names: BTreeSet<String> = pages
        .iter()
        .map(|page| page.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    for page in &pages {
        for reference in read(page)
            .lines()
            .filter_map(|line| line.strip_prefix(".BR "))
        {
            let words: Vec<&str> = reference.split_whitespace().collect();
            let [name, section, ..] = words[..] else {
                continue;
            };
            let Some(section) = section
                .strip_prefix('(')
                .and_then(|rest| rest.split(')').next())
            else {
                continue;
            };
            let named = format!("{}.{section}", name.replace("\\-", "-"));
            assert!(
                names.contains(&named),
                "{}: there is no {named}",
                page.display()
            );
        }
    }
}

#[test]
fn readme_names_the_two_commands_and_files_that_exist() {
    let readme = read(&top().join("README.md"));
    assert!(readme.contains("\n    scripts/demo\n") && readme.contains("\n    scripts/test\n"));
    for path in [
        "scripts/demo",
        "scripts/test",
        "scripts/install",
        "crates/spool/FORMAT.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
    ] {
        assert!(readme.contains(path), "the README does not name {path}");
        assert!(
            top().join(path).exists(),
            "the README names {path}, which does not exist"
        );
    }
}

/// Each block that begins with a heading in brackets is a settings file that is accepted.
#[test]
fn readme_examples_are_valid_settings() {
    let readme = read(&top().join("README.md"));
    let blocks = readme
        .split("\n\n")
        .filter(|block| block.starts_with("    [gateway "))
        .collect::<Vec<_>>();
    assert_eq!(blocks.len(), 7);
    for block in blocks {
        let settings = Settings::parse(block, "README.md");
        assert!(settings.is_ok(), "{block}\n{settings:?}");
    }
}

/// Wherever the README shows `key = value`, or names a key of a table of settings, there is such a key.
#[test]
fn readme_names_settings_that_exist() {
    let readme = read(&top().join("README.md"));
    let keys: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
    let (_, rest) = readme.split_once("## Coming from another program").unwrap();
    let (tables, _) = rest.split_once("\n## ").unwrap();
    let (postfix, others) = tables.split_once("| | msmtp").unwrap();
    let right = postfix
        .lines()
        .filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | "))
        .map(|(_, right)| right);
    let left = others
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let mut named = 0;
    for cell in right.chain(left) {
        for word in cell.split('`').filter(|word| {
            word.chars()
                .all(|c| c.is_ascii_lowercase() || c == '_' || c == ' ' || c == '=')
        }) {
            let name = word.split('=').next().unwrap_or_default().trim();
            if word.contains('_') || word.contains('=') {
                assert!(
                    keys.contains(name),
                    "the README names the setting \"{name}\""
                );
                named += 1;
            }
        }
    }
    assert!(named > 10, "the tables were not understood");
    for line in readme
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| !line.contains('#'))
    {
        if let Some((name, _)) = line.split_once(" = ") {
            assert!(
                keys.contains(name),
                "the README shows the setting \"{name}\""
            );
        }
    }
    assert!(
        KEYS.iter()
            .any(|key| key.section == Section::Gateway && key.name == "password_file")
    );
}

/// The manual of relayctl and its own help name the same commands.
#[test]
fn relayctl_has_the_commands_of_its_manual() {
    let output = Command::new(built("relayctl"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (_, rest) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = rest.split_once("\n\n").unwrap();
    let known: BTreeSet<&str> = commands
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "help")
        .collect();
    let manual = read(&top().join("man/relayctl.8"));
    let described: BTreeSet<&str> = manual
        .lines()
        .filter_map(|line| line.strip_prefix(".B relayctl "))
        .collect();
    assert_eq!(known, described);
}

/// The names of the sockets are those that relayd looks for, and every unit is installed.
#[test]
fn units_fit_the_program() {
    let install = read(&top().join("scripts/install"));
    for (unit, name, socket) in [
        ("relayd.socket", "submit", "submit.sock"),
        ("relayd-control.socket", "control", "control.sock"),
    ] {
        let text = read(&top().join("etc").join(unit));
        assert!(
            text.contains(&format!("FileDescriptorName={name}\n")),
            "{unit}"
        );
        assert!(
            text.contains(&format!("ListenStream=/run/relayd/{socket}\n")),
            "{unit}"
        );
        assert!(
            install.contains(&format!("etc/{unit}")),
            "{unit} is not installed"
        );
    }
}

fn man_pages() -> Vec<PathBuf> {
    let folder = fs::read_dir(top().join("man")).expect("the repository has man/");
    let mut pages: Vec<PathBuf> = folder
        .map(|entry| entry.expect("man/ can be read").path())
        .collect();
    pages.sort();
    pages
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn top() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
