//! Finds the line of a key in a settings file that was read and found good, so that what is wrong
//! with the thing it names can be told with file and line.

/// The line, from 1, at which `key` stands in `section` (as in `gateway main`; empty for the top of
/// the file). `None` if it does not stand there.
pub(crate) fn line_of(text: &str, section: &str, key: &str) -> Option<usize> {
    let mut current = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(heading) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            current = heading.split_whitespace().collect::<Vec<_>>().join(" ");
        } else if current == section
            && line
                .split_once('=')
                .is_some_and(|(name, _)| name.trim() == key)
        {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_its_own_section() {
        let text = "user = a\n# user = b\n[ gateway  main ]\n;x\n user= c\n[listen]\nsmtp = none\n";
        assert_eq!(line_of(text, "", "user"), Some(1));
        assert_eq!(line_of(text, "gateway main", "user"), Some(5));
        assert_eq!(line_of(text, "listen", "smtp"), Some(7));
        assert_eq!(line_of(text, "listen", "user"), None);
    }
}
