//! Reading the file of an admin's own rules for the gateway's replies.

use std::path::Path;

use policy::settings::Problem;
use policy::verdict::Rulebook;

use crate::aliases::read_of_admin;
use crate::secret::Keeper;

/// Reads the `file` of `[replies]`; the rules for the file are those of [`crate::aliases::load`].
/// Without a file only the rules that come with relayd count.
///
/// # Errors
/// The file is missing, must not be used, or does not hold rules: one problem a line, each with the
/// file, and with line and remedy where it has them.
pub fn load(file: Option<&Path>, keeper: &Keeper) -> Result<Rulebook, String> {
    let Some(file) = file else {
        return Ok(Rulebook::built_in());
    };
    let bytes = read_of_admin(file, keeper)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("{}: it is not UTF-8. save it as UTF-8.", file.display()))?;
    Rulebook::with_own(&text, &file.display().to_string()).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
        lines.join("\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn rules_are_read_from_a_safe_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("replies");
        let keeper = Keeper::this_process();
        let written = |text: &str, mode| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            load(Some(&file), &keeper)
        };
        assert_eq!(load(None, &keeper), Ok(Rulebook::built_in()));
        let good = "rcpt 550 - pause:day quota  used up\n";
        assert_ne!(written(good, 0o644), Ok(Rulebook::built_in()));
        assert!(written(good, 0o666).is_err());
        let wrong = written("\nrcpt 550 - stop quota x\n", 0o644).unwrap_err();
        assert!(
            wrong.contains("replies:2: there is no action \"stop\". write one of"),
            "{wrong}"
        );
        std::fs::remove_file(&file).unwrap();
        assert!(load(Some(&file), &keeper).is_err());
    }
}
