//! The model's state: what files and folders hold now, and what of that a power cut would leave.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;

use nix::errno::Errno;

use crate::disk::{Facts, FileKind};

/// The unit that a disk writes in one step.
const SECTOR: usize = 512;

/// A file or folder, by its place in [`Model::nodes`].
pub(super) type Node = usize;

#[derive(Clone, Default)]
pub(super) struct Model {
    nodes: Vec<Inode>,
    /// Changes of names that no sync has made durable, in order.
    pending: Vec<NameChange>,
    locks: HashSet<Node>,
    /// Files of which a sync failed, and whether one was synced again.
    failed: HashSet<Node>,
    pub(super) retried: bool,
    pub(super) uid: u32,
    pub(super) now_s: u64,
}

#[derive(Clone)]
struct Inode {
    kind: FileKind,
    mode: u32,
    uid: u32,
    modified_s: u64,
    links: u64,
    /// A file's bytes: as read now, as on the disk, and what was written in between.
    bytes: Vec<u8>,
    durable_bytes: Vec<u8>,
    writes: Vec<(usize, Vec<u8>)>,
    /// A folder's names: as seen now and as on the disk.
    names: BTreeMap<OsString, Node>,
    durable_names: BTreeMap<OsString, Node>,
}

#[derive(Clone)]
struct NameChange {
    node: Node,
    removed: Option<(Node, OsString)>,
    added: Option<(Node, OsString)>,
}

impl NameChange {
    fn places(&self) -> impl Iterator<Item = &(Node, OsString)> {
        self.removed.iter().chain(&self.added)
    }
}

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// A power cut: nothing.
    Dropped,
    /// A power cut just after everything was written back: all of it.
    Kept,
    /// A power cut in between: any of the changed names, any of the written sectors.
    Random(u64),
    /// Only the process was killed: all of it, and none of it is durable.
    Killed,
}

pub(super) const ROOT: Node = 0;

impl Model {
    pub(super) fn new() -> Self {
        let mut model = Self::default();
        model.add(FileKind::Directory, 0o755);
        model
    }

    pub(super) fn add(&mut self, kind: FileKind, mode: u32) -> Node {
        let (uid, modified_s) = (self.uid, self.now_s);
        self.nodes.push(Inode {
            kind,
            mode,
            uid,
            modified_s,
            links: 0,
            bytes: Vec::new(),
            durable_bytes: Vec::new(),
            writes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
        });
        self.nodes.len() - 1
    }

    pub(super) fn find(&self, dir: Node, name: &OsStr) -> io::Result<Node> {
        self.nodes[dir]
            .names
            .get(name)
            .copied()
            .ok_or(Errno::ENOENT.into())
    }

    pub(super) fn names(&self, dir: Node) -> Vec<OsString> {
        self.nodes[dir].names.keys().cloned().collect()
    }

    pub(super) fn facts(&self, node: Node) -> Facts {
        let Inode {
            kind,
            mode,
            uid,
            modified_s,
            links,
            ..
        } = self.nodes[node];
        let size = self.nodes[node].bytes.len() as u64;
        Facts {
            kind,
            links,
            size,
            uid,
            mode,
            modified_s,
        }
    }

    pub(super) fn set_mode(&mut self, node: Node, mode: u32) {
        self.nodes[node].mode = mode;
    }

    /// Adds, removes or moves a name. EEXIST if the new one is taken and may not be replaced.
    pub(super) fn rename(
        &mut self,
        node: Node,
        removed: Option<(Node, OsString)>,
        added: Option<(Node, OsString)>,
        replace: bool,
    ) -> io::Result<()> {
        if let Some((dir, name)) = &added
            && let Some(old) = self.nodes[*dir].names.get(name).copied()
        {
            if !replace {
                return Err(Errno::EEXIST.into());
            }
            self.nodes[old].links -= 1;
        }
        self.nodes[node].links += u64::from(added.is_some());
        self.nodes[node].links -= u64::from(removed.is_some());
        let change = NameChange {
            node,
            removed,
            added,
        };
        self.apply(&change, |inode| &mut inode.names);
        self.pending.push(change);
        Ok(())
    }

    fn apply(
        &mut self,
        change: &NameChange,
        names: fn(&mut Inode) -> &mut BTreeMap<OsString, Node>,
    ) {
        if let Some((dir, name)) = &change.removed {
            names(&mut self.nodes[*dir]).remove(name);
        }
        if let Some((dir, name)) = &change.added {
            names(&mut self.nodes[*dir]).insert(name.clone(), change.node);
        }
    }

    pub(super) fn write(&mut self, node: Node, bytes: &[u8], offset: usize) {
        put(&mut self.nodes[node].bytes, bytes, offset);
        self.nodes[node].writes.push((offset, bytes.to_vec()));
        self.nodes[node].modified_s = self.now_s;
    }

    pub(super) fn read(&self, node: Node, offset: usize) -> &[u8] {
        self.nodes[node].bytes.get(offset..).unwrap_or(&[])
    }

    /// What was written to a file becomes durable.
    pub(super) fn sync_data(&mut self, node: Node) {
        self.retried |= self.failed.contains(&node);
        let inode = &mut self.nodes[node];
        for (offset, bytes) in inode.writes.drain(..) {
            put(&mut inode.durable_bytes, &bytes, offset);
        }
    }

    /// The names that a file was given before become durable with it.
    pub(super) fn sync_names_of(&mut self, node: Node) {
        self.settle(|change| change.node == node && change.added.is_some());
    }

    /// All names in a folder become durable.
    pub(super) fn sync_dir(&mut self, dir: Node) {
        self.settle(|change| change.places().any(|(place, _)| *place == dir));
    }

    /// A sync failed: the system forgets that the bytes were still to be written, so that a later
    /// sync succeeds and they are lost all the same.
    pub(super) fn sync_failed(&mut self, node: Node) {
        self.nodes[node].writes.clear();
        if self.nodes[node].kind == FileKind::Regular {
            self.failed.insert(node);
        }
    }

    /// Makes changes durable, and with them earlier ones of the same names.
    fn settle(&mut self, wanted: impl Fn(&NameChange) -> bool) {
        let mut chosen: Vec<bool> = self.pending.iter().map(wanted).collect();
        let mut places = BTreeSet::new();
        for (change, chosen) in self.pending.iter().zip(&mut chosen).rev() {
            *chosen |= change.places().any(|place| places.contains(place));
            if *chosen {
                places.extend(change.places().cloned());
            }
        }
        let pending = std::mem::take(&mut self.pending);
        for (change, chosen) in pending.into_iter().zip(chosen) {
            if chosen {
                self.apply(&change, |inode| &mut inode.durable_names);
            } else {
                self.pending.push(change);
            }
        }
    }

    pub(super) fn lock(&mut self, node: Node) -> bool {
        self.locks.insert(node)
    }

    pub(super) fn unlock(&mut self, node: Node) {
        self.locks.remove(&node);
    }

    /// What is there after a crash.
    pub(super) fn survivor(&self, how: Survival) -> Self {
        let mut model = self.clone();
        model.locks.clear();
        if how == Survival::Killed {
            return model;
        }
        model.failed.clear();
        let mut dice = Dice(match how {
            Survival::Random(seed) => seed,
            _ => 0,
        });
        let mut keeps = || match how {
            Survival::Kept => true,
            Survival::Random(_) => dice.coin(),
            _ => false,
        };
        for change in std::mem::take(&mut model.pending) {
            if keeps() {
                model.apply(&change, |inode| &mut inode.durable_names);
            }
        }
        model
            .nodes
            .iter_mut()
            .for_each(|inode| inode.cut_power(&mut keeps));
        model.count_links();
        model
    }

    fn count_links(&mut self) {
        self.nodes.iter_mut().for_each(|inode| inode.links = 0);
        let names = self
            .nodes
            .iter()
            .flat_map(|inode| inode.names.values().copied());
        let targets: Vec<Node> = names.collect();
        targets
            .into_iter()
            .for_each(|node| self.nodes[node].links += 1);
    }
}

impl Inode {
    fn cut_power(&mut self, keeps: &mut dyn FnMut() -> bool) {
        for (offset, bytes) in std::mem::take(&mut self.writes) {
            let mut at = 0;
            while at < bytes.len() {
                let end = bytes.len().min(at + SECTOR - (offset + at) % SECTOR);
                if keeps() {
                    put(&mut self.durable_bytes, &bytes[at..end], offset + at);
                }
                at = end;
            }
        }
        // A file may have its length and not its bytes.
        if self.durable_bytes.len() < self.bytes.len() && keeps() {
            self.durable_bytes.resize(self.bytes.len(), 0);
        }
        self.bytes = self.durable_bytes.clone();
        self.names = self.durable_names.clone();
    }
}

fn put(target: &mut Vec<u8>, bytes: &[u8], offset: usize) {
    let end = offset + bytes.len();
    if target.len() < end {
        target.resize(end, 0);
    }
    target[offset..end].copy_from_slice(bytes);
}

/// Numbers that look random and follow from a seed (the generator known as SplitMix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn coin(&mut self) -> bool {
        self.roll() & 1 == 1
    }
}
