//! Hostile dialogues as text: files of cases, each with the outcome that it must have and the lines of both ends.
//!
//! ```text
//! == name of the case
//! must: the outcome in words
//! want: words for the program that runs it
//! C: a line of the client, CRLF added     C| the same with nothing added
//! S: a line of the server, CRLF added     S| the same with nothing added
//! @ something that is no line, such as tls or close
//! ```
//!
//! Whether a line is said or awaited depends on which end is played. In what is said, `\r \n \t \e \0 \\ \xHH` are bytes
//! and `{3*text}` is `texttexttext`, with `#` in it for the number, from 1. A line that begins with `#` is a remark.

/// One case of a file.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, unlike any other in its file.
    pub name: String,
    /// The outcome in words.
    pub must: String,
    /// The same for the program.
    pub want: Vec<String>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One line of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `C:` or `C|`.
    Client(String),
    /// `S:` or `S|`.
    Server(String),
    /// `@`.
    Act(String),
}

impl Case {
    /// The value of `key=value` in `want:`.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.want
            .iter()
            .filter_map(|word| word.split_once('='))
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    /// All values of `key=value` in `want:`.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.want.iter().filter_map(|word| word.split_once('='));
        pairs.filter_map(move |(name, value)| (name == key).then_some(value))
    }

    /// Whether `word` stands in `want:`.
    pub fn wants(&self, word: &str) -> bool {
        self.want.iter().any(|wanted| wanted == word)
    }
}

/// Reads a file of cases. Panics with the line that is wrong: the files are ours.
#[track_caller]
pub fn read(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            assert!(
                cases.iter().all(|case| case.name != name),
                "{name} is there twice"
            );
            cases.push(Case {
                name: name.to_owned(),
                must: String::new(),
                want: Vec::new(),
                steps: Vec::new(),
            });
            continue;
        }
        let case = cases.last_mut().expect("a file begins with ==");
        if let Some(words) = line.strip_prefix("must: ") {
            case.must = words.to_owned();
        } else if let Some(words) = line.strip_prefix("want: ") {
            case.want = words.split(' ').map(str::to_owned).collect();
        } else {
            let step = step(line);
            case.steps
                .push(step.unwrap_or_else(|| panic!("line {}: {line:?}", number + 1)));
        }
    }
    cases
}

fn step(line: &str) -> Option<Step> {
    let (mark, text) = line.split_at_checked(2)?;
    let text = text.strip_prefix(' ').unwrap_or(text);
    Some(match mark {
        "C:" => Step::Client(format!("{text}\\r\\n")),
        "C|" => Step::Client(text.to_owned()),
        "S:" => Step::Server(format!("{text}\\r\\n")),
        "S|" => Step::Server(text.to_owned()),
        "@ " => Step::Act(text.to_owned()),
        _ => return None,
    })
}

/// The bytes of a line that is said.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        unescape(&rest[..at], &mut out);
        let (inner, after) = rest[at + 1..].split_once('}').expect("{ has its }");
        let (count, part) = inner.split_once('*').expect("{count*text}");
        let mut one = Vec::new();
        unescape(part, &mut one);
        repeat(&one, count.parse().expect("a count"), &mut out);
        rest = after;
    }
    unescape(rest, &mut out);
    out
}

fn repeat(one: &[u8], count: usize, out: &mut Vec<u8>) {
    let Some(at) = one.iter().position(|&b| b == b'#') else {
        return out.extend(one.repeat(count));
    };
    for number in 1..=count {
        out.extend_from_slice(&one[..at]);
        out.extend_from_slice(number.to_string().as_bytes());
        out.extend_from_slice(&one[at + 1..]);
    }
}

fn unescape(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let letter = after
            .chars()
            .next()
            .expect("a letter comes after a backslash");
        rest = &after[1..];
        out.push(match letter {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            'e' => 0x1B,
            '0' => 0,
            '\\' => b'\\',
            'x' => {
                let (digits, after) = rest.split_at(2);
                rest = after;
                u8::from_str_radix(digits, 16).expect("two hex digits")
            }
            other => panic!("\\{other} is not known"),
        });
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Runs all cases and prints a line for each; panics with those that failed.
#[track_caller]
pub fn run_all(suite: &str, cases: &[Case], mut run: impl FnMut(&Case) -> Result<String, String>) {
    let mut failed = Vec::new();
    for case in cases {
        match run(case) {
            Ok(seen) => crate::report::show(&format!("ok    {:<34} {seen}", case.name)),
            Err(why) => {
                crate::report::show(&format!("FAIL  {:<34} {why}", case.name));
                failed.push(format!("{} must: {}; but: {why}", case.name, case.must));
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {} cases failed: {failed:#?}",
        failed.len(),
        cases.len()
    );
    crate::report::number(suite, &format!("{} cases, each as it must be", cases.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_is_meant() {
        let cases = read(
            "# remark\n== one\nmust: live\nwant: closed messages=0\nS: 220\nC: EHLO x\nC| a\\r\n@ close\n== two\n",
        );
        assert_eq!(cases.len(), 2);
        let one = &cases[0];
        assert_eq!((one.name.as_str(), one.must.as_str()), ("one", "live"));
        assert!(one.wants("closed") && one.value("messages") == Some("0"));
        let steps = [
            Step::Server("220\\r\\n".to_owned()),
            Step::Client("EHLO x\\r\\n".to_owned()),
            Step::Client("a\\r".to_owned()),
            Step::Act("close".to_owned()),
        ];
        assert_eq!(one.steps, steps);
    }

    #[test]
    fn bytes_are_written_as_in_rust() {
        assert_eq!(
            bytes("a\\r\\n\\0\\x1b\\e\\\\{3*x\\t}."),
            b"a\r\n\0\x1b\x1b\\x\tx\tx\t."
        );
    }
}
