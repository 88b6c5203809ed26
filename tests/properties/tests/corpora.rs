//! Every property holds for every input that is kept for the fuzzer.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use properties::{TARGETS, corpus};

/// Fewer inputs than this were lost rather than minimised.
const FEWEST: usize = 30;

#[test]
fn every_property_holds_for_what_is_kept() {
    for target in TARGETS {
        let inputs = corpus::inputs(target.name).expect("inputs");
        assert!(inputs.len() >= FEWEST, "{}: {}", target.name, inputs.len());
        (target.check)(b"");
        for input in &inputs {
            let run = std::panic::catch_unwind(|| (target.check)(input));
            assert!(run.is_ok(), "{}: {}", target.name, input.escape_ascii());
        }
    }
}

/// The fuzzer has a program, seeds and a corpus for each target, and none besides.
#[test]
fn the_fuzzer_knows_the_same_targets() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let stems = |folder: &str| {
        let entries = fs::read_dir(top.join(folder)).expect("a folder");
        let mut stems: Vec<String> = entries
            .map(|entry| entry.expect("an entry").path())
            .map(|path| {
                path.file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        stems.sort();
        stems
    };
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    assert_eq!(stems("targets"), names);
    assert_eq!(stems("seeds"), names);
    assert_eq!(stems("corpus"), names);
    let manifest = fs::read_to_string(top.join("Cargo.toml")).expect("a manifest");
    let listed = manifest
        .lines()
        .filter(|line| line.starts_with("path = \"targets/"));
    assert_eq!(listed.count(), names.len());
}
