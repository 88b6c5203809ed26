//! Tables of cases in JSON: how their values are read, and how a suite goes through one.
//!
//! A long text is a list: texts one after the other, and `["text", 1000]` for a thousand of one. Each row has a `name`.
//! A row may have a `rule`: what we do on purpose where others might ask for something else, and why.

use serde_json::Value;

use crate::report::{number, show};

/// The rows of a table. Panics if it is not one: the tables are ours.
#[track_caller]
pub fn rows(table: &str) -> Vec<Value> {
    serde_json::from_str(table).expect("a table is a list in JSON")
}

/// A text; empty if there is none.
pub fn text(value: &Value) -> String {
    match value {
        Value::Array(parts) => parts.iter().map(part).collect(),
        _ => value.as_str().unwrap_or_default().to_owned(),
    }
}

fn part(value: &Value) -> String {
    let count = value[1]
        .as_u64()
        .and_then(|count| usize::try_from(count).ok());
    match count {
        Some(count) => value[0].as_str().unwrap_or_default().repeat(count),
        None => value.as_str().unwrap_or_default().to_owned(),
    }
}

/// The bytes of a text in which each character is one, up to U+00FF.
#[track_caller]
pub fn bytes(value: &Value) -> Vec<u8> {
    let byte = |c: char| u8::try_from(u32::from(c)).expect("a character is a byte here");
    text(value).chars().map(byte).collect()
}

/// A list of texts; empty if there is none.
pub fn words(value: &Value) -> Vec<&str> {
    let words = value.as_array().into_iter().flatten();
    words
        .map(|word| word.as_str().unwrap_or_default())
        .collect()
}

/// Runs every row and says a line for each; then panics if `run` found faults in any.
#[track_caller]
pub fn run_all(suite: &str, rows: &[Value], mut run: impl FnMut(&Value) -> Faults) {
    let mut all = Vec::new();
    for row in rows {
        let (name, faults) = (text(&row["name"]), run(row));
        let note = match row["rule"].as_str() {
            Some(rule) => format!("our rule: {rule}"),
            None => faults.note,
        };
        let verdict = if faults.found.is_empty() {
            "ok  "
        } else {
            "FAIL"
        };
        show(format!("{verdict}  {name:<60} {note}").trim_end());
        let told = faults
            .found
            .into_iter()
            .map(|fault| format!("{name}: {fault}"));
        all.extend(told);
    }
    assert!(all.is_empty(), "{} faults:\n{}", all.len(), all.join("\n"));
    number(suite, &format!("{} cases, each as it must be", rows.len()));
}

/// What is wrong with a row, in words, and what else is to be said of it.
#[derive(Debug, Default)]
pub struct Faults {
    /// The faults.
    pub found: Vec<String>,
    /// A remark for the row's line.
    pub note: String,
}

impl Faults {
    /// Adds a fault unless `seen` is what was expected.
    pub fn compare<T: PartialEq + std::fmt::Debug + ?Sized>(
        &mut self,
        what: &str,
        expected: &T,
        seen: &T,
    ) {
        if expected != seen {
            self.add(format!("{what}: expected {expected:?}, got {seen:?}"));
        }
    }

    /// Adds a fault unless `good`.
    pub fn require(&mut self, good: bool, fault: impl FnOnce() -> String) {
        if !good {
            self.add(fault());
        }
    }

    /// Adds a fault.
    pub fn add(&mut self, fault: String) {
        self.found.push(fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_put_together() {
        let rows =
            rows(r#"[{"name": "x", "stdin": ["a\n", ["bc", 3], "\u00ff"]}, {"stdin": "plain"}]"#);
        assert_eq!(text(&rows[0]["stdin"]), "a\nbcbcbc\u{ff}");
        assert_eq!(bytes(&rows[0]["stdin"]), b"a\nbcbcbc\xff");
        assert_eq!(
            (text(&rows[1]["stdin"]), text(&rows[1]["none"])),
            ("plain".to_owned(), String::new())
        );
    }
}
