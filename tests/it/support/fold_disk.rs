//! A disk that takes names which differ in case only for one, as those of Windows and macOS do: a file system in memory,
//! served to the kernel over `/dev/fuse` by a process with a mount namespace of its own.
#![expect(
    clippy::indexing_slicing,
    reason = "a request of the kernel that is too short fails the test"
)]

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::{Read, Write},
    os::fd::AsRawFd,
    path::Path,
    process::Command,
    thread,
};

use rustix::mount::{MountFlags, mount};

use super::mounts::Mounts;

/// The variable that tells the serving process where to mount.
const TOP: &str = "PORTOLAN_FOLD_DISK";
const FOLDER: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const NOENT: i32 = 2;
const EXIST: i32 = 17;
const NOSYS: i32 = 38;
const NOTEMPTY: i32 = 39;
/// The largest write, and the room for one with its header.
const WRITE_MAX: u32 = 128 * 1024;

/// Mounts the disk at `top`; `None` if that is impossible here, which has then been reported.
pub(crate) fn at(top: &Path) -> Option<Mounts> {
    Mounts::held_by(
        Command::new("unshare")
            .arg("--mount")
            .arg(env::current_exe().unwrap())
            .args(["support::fold_disk::serve", "--exact", "--ignored", "--nocapture"])
            .env(TOP, top),
    )
}

/// The process that serves the disk: no test, but `at` has no other program to run.
#[test]
#[ignore = "it is run by the tests that need the disk"]
fn serve() {
    let Some(top) = env::var_os(TOP) else { return };
    let mut kernel = File::options().read(true).write(true).open("/dev/fuse").unwrap();
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", kernel.as_raw_fd());
    let options = std::ffi::CString::new(options).unwrap();
    mount("fold", Path::new(&top), "fuse", MountFlags::empty(), Some(options.as_c_str())).unwrap();
    thread::spawn(move || {
        let mut disk = Disk::new();
        let mut bytes = vec![0; WRITE_MAX as usize + 4096];
        while let Ok(count) = kernel.read(&mut bytes) {
            if let Some(answer) = disk.answer(&bytes[..count]) {
                // A request that was interrupted wants no answer any more.
                kernel.write_all(&answer).ok();
            }
        }
    });
    println!("\nup");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// A file or directory.
#[derive(Default)]
struct Node {
    mode: u32,
    bytes: Vec<u8>,
    /// The entries of a directory, by their folded names: the names as they are shown, and the nodes.
    entries: BTreeMap<Vec<u8>, (Vec<u8>, u64)>,
    modified: (u64, u32),
}

struct Disk {
    nodes: BTreeMap<u64, Node>,
    next: u64,
}

/// The fields of a request, in order.
struct Fields<'r>(&'r [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> u32 {
        let (number, rest) = self.0.split_at(4);
        self.0 = rest;
        u32::from_le_bytes(number.try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        let (number, rest) = self.0.split_at(8);
        self.0 = rest;
        u64::from_le_bytes(number.try_into().unwrap())
    }

    fn name(&mut self) -> Vec<u8> {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap();
        let name = self.0[..end].to_vec();
        self.0 = &self.0[end + 1..];
        name
    }
}

fn folded(name: &[u8]) -> Vec<u8> {
    name.to_ascii_lowercase()
}

fn words(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn halves(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

impl Disk {
    fn new() -> Self {
        let root = Node { mode: FOLDER | 0o755, ..Node::default() };
        Self { nodes: [(1, root)].into(), next: 2 }
    }

    /// Returns the answer to a request, unless it wants none (`struct fuse_in_header`, `fuse_out_header`).
    fn answer(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let mut fields = Fields(request);
        let (_, opcode, unique, node) = (fields.u32(), fields.u32(), fields.u64(), fields.u64());
        fields.0 = &request[40..];
        // Forget, interrupt, several forgets.
        if matches!(opcode, 2 | 36 | 42) {
            return None;
        }
        let (error, body) = match self.act(opcode, node, fields) {
            Ok(body) => (0, body),
            Err(error) => (-error, Vec::new()),
        };
        let mut answer = halves(&[u32::try_from(16 + body.len()).unwrap()]);
        answer.extend(error.to_le_bytes());
        answer.extend(unique.to_le_bytes());
        answer.extend(body);
        Some(answer)
    }

    fn act(&mut self, opcode: u32, at: u64, mut fields: Fields<'_>) -> Result<Vec<u8>, i32> {
        match opcode {
            1 => self.find(at, &fields.name()).map(|node| self.entry(node)),
            3 => Ok([words(&[0]), halves(&[0, 0]), self.about(at)].concat()),
            4 => Ok(self.change(at, fields)),
            9 => {
                let mode = fields.u32();
                fields.u32();
                let node = self.make(at, fields.name(), FOLDER | mode & 0o7777)?;
                Ok(self.entry(node))
            }
            10 | 11 => self.remove(at, &fields.name()).map(|()| Vec::new()),
            12 => {
                let to = fields.u64();
                self.rename(at, &fields.name(), to, &fields.name(), 0)
            }
            45 => {
                let (to, flags) = (fields.u64(), fields.u32());
                fields.u32();
                self.rename(at, &fields.name(), to, &fields.name(), flags)
            }
            // Open a file without a cache, or a directory.
            14 => Ok([words(&[0]), halves(&[1, 0])].concat()),
            27 => Ok(vec![0; 16]),
            15 => {
                fields.u64();
                let (offset, size) = (fields.u64(), fields.u32());
                let bytes = &self.nodes[&at].bytes;
                let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
                Ok(rest[..rest.len().min(size as usize)].to_vec())
            }
            16 => {
                fields.u64();
                let (offset, size) = (usize::try_from(fields.u64()).unwrap(), fields.u32());
                let piece = &fields.0[20..][..size as usize];
                let bytes = &mut self.nodes.get_mut(&at).unwrap().bytes;
                bytes.resize(bytes.len().max(offset + piece.len()), 0);
                bytes[offset..offset + piece.len()].copy_from_slice(piece);
                Ok(halves(&[size, 0]))
            }
            17 => Ok([
                words(&[1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20]),
                halves(&[4096, 255, 4096]),
                vec![0; 28],
            ]
            .concat()),
            // Release, fsync, flush, release and fsync of a directory, access, destroy.
            18 | 20 | 25 | 29 | 30 | 34 | 38 => Ok(Vec::new()),
            26 => Ok([halves(&[7, 31, WRITE_MAX, 1 << 5, 0, WRITE_MAX, 1]), vec![0; 36]].concat()),
            28 => {
                fields.u64();
                let (offset, size) = (fields.u64(), fields.u32());
                Ok(self.list(at, offset, size as usize))
            }
            35 => {
                let (_, mode) = (fields.u32(), fields.u32());
                fields.u64();
                let node = self.make(at, fields.name(), REGULAR | mode & 0o7777)?;
                Ok([self.entry(node), words(&[0]), halves(&[1, 0])].concat())
            }
            _ => Err(NOSYS),
        }
    }

    fn find(&self, folder: u64, name: &[u8]) -> Result<u64, i32> {
        self.nodes[&folder].entries.get(&folded(name)).map(|(_, node)| *node).ok_or(NOENT)
    }

    fn make(&mut self, folder: u64, name: Vec<u8>, mode: u32) -> Result<u64, i32> {
        if self.find(folder, &name).is_ok() {
            return Err(EXIST);
        }
        let node = self.next;
        self.next += 1;
        self.nodes.insert(node, Node { mode, ..Node::default() });
        self.nodes.get_mut(&folder).unwrap().entries.insert(folded(&name), (name, node));
        Ok(node)
    }

    fn remove(&mut self, folder: u64, name: &[u8]) -> Result<(), i32> {
        let node = self.find(folder, name)?;
        if !self.nodes[&node].entries.is_empty() {
            return Err(NOTEMPTY);
        }
        // The node stays for those that have it open.
        self.nodes.get_mut(&folder).unwrap().entries.remove(&folded(name));
        Ok(())
    }

    /// Renames over another entry as well, which then keeps its spelling.
    fn rename(
        &mut self,
        from: u64,
        old: &[u8],
        to: u64,
        new: &[u8],
        flags: u32,
    ) -> Result<Vec<u8>, i32> {
        let node = self.find(from, old)?;
        let shown = match self.nodes[&to].entries.get(&folded(new)) {
            Some((_, other)) if *other != node && flags == 1 => return Err(EXIST),
            Some((shown, other)) if *other != node => shown.clone(),
            _ => new.to_vec(),
        };
        self.nodes.get_mut(&from).unwrap().entries.remove(&folded(old));
        self.nodes.get_mut(&to).unwrap().entries.insert(folded(new), (shown, node));
        Ok(Vec::new())
    }

    fn change(&mut self, at: u64, mut fields: Fields<'_>) -> Vec<u8> {
        let valid = fields.u32();
        fields.0 = &fields.0[12..];
        let size = fields.u64();
        fields.0 = &fields.0[16..];
        let seconds = fields.u64();
        fields.0 = &fields.0[12..];
        let nanoseconds = fields.u32();
        fields.u32();
        let mode = fields.u32();
        let node = self.nodes.get_mut(&at).unwrap();
        if valid & 1 != 0 {
            node.mode = node.mode & !0o7777 | mode & 0o7777;
        }
        if valid & 8 != 0 {
            node.bytes.resize(usize::try_from(size).unwrap(), 0);
        }
        if valid & 32 != 0 {
            node.modified = (seconds, nanoseconds);
        }
        [words(&[0]), halves(&[0, 0]), self.about(at)].concat()
    }

    /// Returns a `struct fuse_entry_out`, which the kernel does not keep.
    fn entry(&self, node: u64) -> Vec<u8> {
        [words(&[node, 0, 0, 0]), halves(&[0, 0]), self.about(node)].concat()
    }

    /// Returns a `struct fuse_attr`.
    fn about(&self, at: u64) -> Vec<u8> {
        let Node { mode, bytes, modified: (seconds, nanoseconds), .. } = &self.nodes[&at];
        let size = bytes.len() as u64;
        [
            words(&[at, size, size.div_ceil(512), *seconds, *seconds, *seconds]),
            halves(&[*nanoseconds, *nanoseconds, *nanoseconds, *mode, 1, 0, 0, 0, 4096, 0]),
        ]
        .concat()
    }

    /// Returns the entries after the first `offset`, as many as fit into `size` bytes (`struct fuse_dirent`).
    fn list(&self, at: u64, offset: u64, size: usize) -> Vec<u8> {
        let mut list = Vec::new();
        let entries = self.nodes[&at].entries.values().zip(1_u64..);
        for ((shown, node), number) in entries.skip(usize::try_from(offset).unwrap()) {
            let kind = self.nodes[node].mode >> 12;
            let mut entry = words(&[*node, number]);
            entry.extend(halves(&[u32::try_from(shown.len()).unwrap(), kind]));
            entry.extend(shown);
            entry.resize(entry.len().next_multiple_of(8), 0);
            if list.len() + entry.len() > size {
                break;
            }
            list.extend(entry);
        }
        list
    }
}
