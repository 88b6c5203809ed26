//! Reading the files that say where mail goes: aliases, what they include, and `[rewrite]` maps.
//!
//! Whoever can write such a file can have other people's mail sent to himself, so one that more
//! than root and relayd's account can change is refused, by its own mode or by its folder's. The
//! account of relayd must be able to read it even while root still runs the program; otherwise a
//! line such as `:include:/etc/shadow` would work at the start and at no other time.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use policy::aliases::Aliases;
use policy::rewrite::Map;
use policy::settings::Problem;

use crate::secret::Keeper;
use crate::trusted::{Owner, Refusal, read};

/// The alias file that may be missing: a fresh system has none.
pub const DEFAULT_FILE: &str = "/etc/aliases";

/// Files are read up to here, in bytes: one more than what `policy` takes.
const LONGEST: u64 = policy::aliases::LARGEST_FILE as u64 + 1;

/// Reads an alias file and the files that it includes. A missing [`DEFAULT_FILE`] is an empty one.
///
/// The file must be a regular one, or a link to one; owned by root or the keeper; readable by the
/// keeper; and neither it nor its folder writable by others or by a group (a folder with the sticky
/// bit is fine). What it includes must belong to root.
///
/// # Errors
/// The file is missing or must not be used. What is wrong within it is [`Aliases::problems`].
pub fn load(file: &Path, keeper: &Keeper) -> Result<Aliases, Problem> {
    load_noting(file, keeper, &mut Vec::new())
}

/// Reads the map file of a `[rewrite]` setting; the rules for the file are those of [`load`].
/// Without a file, the map is an empty one.
///
/// # Errors
/// The file is missing, must not be used, or does not hold a map: one problem a line.
pub fn load_map(file: Option<&Path>, keeper: &Keeper) -> Result<Map, String> {
    let Some(file) = file else {
        return Ok(Map::default());
    };
    let text = read_of_admin(file, keeper)?;
    let wrong = |problems: Vec<Problem>| {
        let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
        lines.join("\n")
    };
    Map::parse(&text, &file.display().to_string()).map_err(wrong)
}

/// Reads a file that root or relayd's account keeps; the rules for the file are those of [`load`].
pub(crate) fn read_of_admin(file: &Path, keeper: &Keeper) -> Result<Vec<u8>, String> {
    read(file, keeper, Owner::RootOrKeeper, LONGEST)
        .map_err(|refusal| problem(file, refusal).to_string())
}

/// The aliases in force. Asking for them costs one look at each file's status, and reads the files
/// again if one has changed, so that no `newaliases` is needed.
#[derive(Debug)]
pub struct Source {
    file: Option<PathBuf>,
    keeper: Keeper,
    state: Mutex<State>,
}

/// What [`Source::current`] gives.
#[derive(Clone, Debug)]
pub struct Current {
    /// The aliases.
    pub aliases: Arc<Aliases>,
    /// What was found wrong, if the files were read just now; for the log.
    pub problems: Vec<Problem>,
}

#[derive(Debug, Default)]
struct State {
    aliases: Arc<Aliases>,
    /// The files and what they were like before they were read; empty before the first time.
    watched: Vec<Watched>,
}

type Watched = (PathBuf, Option<Stamp>);

/// What changes if a file is written, replaced, or given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Source {
    /// The aliases of `file`, the setting `[aliases] file`, for the account `keeper`. Nothing is
    /// read yet.
    #[must_use]
    pub fn new(file: Option<PathBuf>, keeper: Keeper) -> Self {
        let state = Mutex::default();
        Self {
            file,
            keeper,
            state,
        }
    }

    /// The aliases as the files are now. If the file cannot be used any more, those that were read
    /// last stay in force, and a problem says so.
    pub fn current(&self) -> Current {
        // The state is whole at every moment, so a panic elsewhere does not spoil it.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut problems = Vec::new();
        if let Some(file) = &self.file
            && !state.is_fresh()
        {
            problems = state.reload(file, &self.keeper);
        }
        Current {
            aliases: Arc::clone(&state.aliases),
            problems,
        }
    }
}

impl State {
    fn is_fresh(&self) -> bool {
        let same = |(path, stamp): &Watched| Stamp::of(path) == *stamp;
        !self.watched.is_empty() && self.watched.iter().all(same)
    }

    fn reload(&mut self, file: &Path, keeper: &Keeper) -> Vec<Problem> {
        let mut watched = vec![(file.to_owned(), Stamp::of(file))];
        let problems = match load_noting(file, keeper, &mut watched) {
            Ok(aliases) => {
                self.aliases = Arc::new(aliases);
                self.aliases.problems().to_vec()
            }
            Err(mut problem) => {
                problem.message.push_str(if self.watched.is_empty() {
                    "; there are no aliases until then"
                } else {
                    "; the aliases that were read last stay in force"
                });
                vec![problem]
            }
        };
        self.watched = watched;
        problems
    }
}

impl Stamp {
    /// `None` where there is no such file, or nobody may look at it.
    fn of(path: &Path) -> Option<Self> {
        let status = std::fs::metadata(path).ok()?;
        Some(Self {
            device: status.dev(),
            inode: status.ino(),
            size: status.size(),
            modified: (status.mtime(), status.mtime_nsec()),
            changed: (status.ctime(), status.ctime_nsec()),
        })
    }
}

/// Like [`load`]; adds what each included file was like before it was read.
fn load_noting(
    file: &Path,
    keeper: &Keeper,
    watched: &mut Vec<Watched>,
) -> Result<Aliases, Problem> {
    let text = match read(file, keeper, Owner::RootOrKeeper, LONGEST) {
        Ok(text) => text,
        Err(Refusal::Io(error))
            if error.kind() == io::ErrorKind::NotFound && file == Path::new(DEFAULT_FILE) =>
        {
            return Ok(Aliases::default());
        }
        Err(refusal) => return Err(problem(file, refusal)),
    };
    let mut include = |name: &str| {
        let path = PathBuf::from(name);
        watched.push((path.clone(), Stamp::of(&path)));
        read(&path, keeper, Owner::Root, LONGEST).map_err(|refusal| match refusal {
            Refusal::Io(error) => error.to_string(),
            Refusal::Unsafe { message, remedy } => format!("{message} ({remedy})"),
        })
    };
    let name = file.display().to_string();
    Ok(Aliases::parse(&text, &name, &mut include))
}

fn problem(file: &Path, refusal: Refusal) -> Problem {
    let (message, remedy) = match refusal {
        Refusal::Io(error) => (
            format!("it cannot be read: {error}"),
            "create it, or correct its name in relayd.conf".to_owned(),
        ),
        Refusal::Unsafe { message, remedy } => (message, remedy),
    };
    Problem {
        file: file.display().to_string(),
        line: 0,
        message,
        remedy,
    }
}

#[cfg(test)]
mod tests;
