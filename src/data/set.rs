//! Collections of pictures: folders, arrays in IDX and NPZ files, single files.

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::array::{self, PixelArray};
use super::load::{EXTENSIONS, display_name, load_picture};
use super::prepare::{Preparation, prepare};
use crate::files::cannot_open;
use crate::ops::threads;
use crate::{Because, Error, Picture, Result};

/// The deepest folder inside a folder that is looked into.
const DEEPEST: usize = 8;

/// Pictures with names, decoded when they are asked for.
#[derive(Clone)]
pub struct ImageSet {
    title: String,
    entries: Vec<Entry>,
    skipped: usize,
}

#[derive(Clone)]
enum Entry {
    File { name: String, path: PathBuf },
    Row { array: Arc<PixelArray>, row: usize },
}

/// The pictures of a set after preparation.
pub struct PreparedSet {
    /// The pictures that could be read, in the set's order.
    pub pictures: Vec<Picture>,
    /// The place of each in the set.
    pub indices: Vec<usize>,
    /// Why the others could not be read.
    pub failures: Vec<Error>,
}

impl ImageSet {
    /// Opens a folder of pictures (folders inside it too, sorted by name; other files are passed over and counted), an
    /// IDX file of pictures with or without gzip, an NPZ file with an array `x` of bytes `[n, height, width]`,
    /// `[n, height, width, channels]` or `[n, channels, height, width]`, or a single picture.
    ///
    /// # Errors
    /// When there is nothing at the path, it cannot be read, or it holds no picture.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let title = path.canonicalize().map_or_else(|_| display_name(path), |path| display_name(&path));
        let metadata = std::fs::metadata(path).because(|| cannot_open(path))?;
        if metadata.is_dir() {
            return Self::folder(path, title);
        }
        if let Some(array) = array::open(path)? {
            let array = Arc::new(array);
            let entries = (0..array.count()).map(|row| Entry::Row { array: array.clone(), row }).collect();
            return Ok(Self { title, entries, skipped: 0 });
        }
        load_picture(path)?;
        Ok(Self::from_files([path.to_path_buf()]))
    }

    /// The set of the given picture files, in the given order; none is opened yet.
    pub fn from_files(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let entry = |path: PathBuf| Entry::File { name: display_name(&path), path };
        let entries: Vec<Entry> = paths.into_iter().map(entry).collect();
        let title = match entries.as_slice() {
            [Entry::File { name, .. }] => name.clone(),
            entries => format!("{} files", entries.len()),
        };
        Self { title, entries, skipped: 0 }
    }

    fn folder(path: &Path, title: String) -> Result<Self> {
        let mut set = Self { title, entries: Vec::new(), skipped: 0 };
        set.collect(path, "", 0)?;
        set.entries.sort_by_cached_key(Entry::name);
        if set.entries.is_empty() {
            let title = &set.title;
            return Err(Error::new(match set.skipped {
                0 => format!("The folder {title} is empty; choose one with PNG, JPEG, WebP, BMP or GIF pictures."),
                n => format!(
                    "The folder {title} holds {n} files but no PNG, JPEG, WebP, BMP or GIF picture; choose another."
                ),
            }));
        }
        Ok(set)
    }

    fn collect(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<()> {
        let cannot_list = || format!("The folder {} cannot be read; check that you may open it.", folder.display());
        for entry in std::fs::read_dir(folder).because(cannot_list)? {
            let entry = entry.because(cannot_list)?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let hidden = name.starts_with('.');
            // Links to files are followed, links to folders are not: they may lead in circles.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && !hidden && depth < DEEPEST {
                self.collect(&path, &format!("{prefix}{name}/"), depth + 1)?;
            } else if !is_folder && !hidden && looks_like_picture(&path) {
                self.entries.push(Entry::File { name: format!("{prefix}{name}"), path });
            } else if !is_folder {
                self.skipped += 1;
            }
        }
        Ok(())
    }

    /// This set followed by another.
    pub fn join(mut self, other: Self) -> Self {
        self.title = format!("{} and {}", self.title, other.title);
        self.entries.extend(other.entries);
        self.skipped += other.skipped;
        self
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none, which [`ImageSet::open`] never returns.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the set is called: its folder's or file's name.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How many files of a folder were passed over because they are not pictures.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// The name of a picture: its path below the folder, or its number in the array.
    ///
    /// # Panics
    /// When `index` is not below [`ImageSet::len`].
    pub fn name(&self, index: usize) -> String {
        self.entries[index].name()
    }

    /// Reads a picture.
    ///
    /// # Errors
    /// When its file cannot be read or is no picture.
    ///
    /// # Panics
    /// When `index` is not below [`ImageSet::len`].
    pub fn picture(&self, index: usize) -> Result<Picture> {
        match &self.entries[index] {
            Entry::File { path, .. } => load_picture(path),
            Entry::Row { array, row } => array.picture(*row),
        }
    }

    /// Checks that there are at least `least` pictures.
    ///
    /// # Errors
    /// When there are fewer, with a sentence that says how many there are and how many are needed.
    pub fn require(&self, least: usize) -> Result<()> {
        if self.len() >= least {
            return Ok(());
        }
        let (title, count) = (&self.title, self.len());
        let pictures = if count == 1 { "picture" } else { "pictures" };
        Err(Error::new(format!(
            "{title} has {count} {pictures}, but at least {least} are needed here; add more or choose another folder."
        )))
    }

    /// The part of the set whose pictures have the given places, from 0 to 1, in an order that depends on their names
    /// and the seed alone. Parts of places that do not overlap have no picture in common, also when they are taken at
    /// different times: X from `0.0..0.5` and Y from `0.5..1.0` are never pairs. The pictures stay sorted by name.
    pub fn part(&self, places: Range<f64>, seed: u64) -> Self {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_cached_key(|&i| (hash(&self.name(i), seed), i));
        let place = |share: f64| ((share.clamp(0.0, 1.0) * self.len() as f64).round() as usize).min(self.len());
        let (from, to) = (place(places.start), place(places.end));
        let mut chosen: Vec<usize> = order.get(from..to).unwrap_or_default().to_vec();
        chosen.sort_unstable();
        let entries = chosen.into_iter().map(|i| self.entries[i].clone()).collect();
        Self { title: self.title.clone(), entries, skipped: self.skipped }
    }

    /// Splits into a part to train on and a part held out, of about `held_out` (0 to 1) of the set.
    pub fn split(&self, held_out: f64, seed: u64) -> (Self, Self) {
        let edge = 1.0 - held_out.clamp(0.0, 1.0);
        (self.part(0.0..edge, seed), self.part(edge..1.0, seed))
    }

    /// The first `count` pictures.
    pub fn first(&self, count: usize) -> Self {
        let entries = self.entries.iter().take(count).cloned().collect();
        Self { title: self.title.clone(), entries, skipped: self.skipped }
    }

    /// Reads and prepares all pictures on the threads of [`threads`]. `progress` hears how many are done and may stop
    /// the work by `Break`; what is done until then is returned.
    pub fn prepare_all(
        &self,
        preparation: &Preparation,
        progress: impl Fn(usize) -> ControlFlow<()> + Sync,
    ) -> PreparedSet {
        let mut slots: Vec<Option<Result<Picture>>> = (0..self.len()).map(|_| None).collect();
        let (done, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
        threads::for_each_chunk(&mut slots, 1, |index, slot| {
            if stopped.load(Ordering::Relaxed) {
                return;
            }
            slot[0] = Some(self.picture(index).map(|picture| prepare(&picture, preparation)));
            if progress(done.fetch_add(1, Ordering::Relaxed) + 1).is_break() {
                stopped.store(true, Ordering::Relaxed);
            }
        });
        let mut prepared = PreparedSet { pictures: Vec::new(), indices: Vec::new(), failures: Vec::new() };
        for (index, slot) in slots.into_iter().enumerate() {
            match slot {
                Some(Ok(picture)) => {
                    prepared.pictures.push(picture);
                    prepared.indices.push(index);
                }
                Some(Err(error)) => prepared.failures.push(error),
                None => {}
            }
        }
        prepared
    }
}

impl Entry {
    fn name(&self) -> String {
        match self {
            Self::File { name, .. } => name.clone(),
            Self::Row { row, .. } => row.to_string(),
        }
    }
}

impl fmt::Debug for ImageSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageSet({}, {} pictures, {} files passed over)", self.title, self.len(), self.skipped)
    }
}

/// By its ending, or without one by its first bytes.
fn looks_like_picture(path: &Path) -> bool {
    match path.extension() {
        Some(extension) => EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)),
        None => {
            let start = array::start(path).unwrap_or_default();
            image::guess_format(&start).is_ok()
        }
    }
}

/// FNV-1a of the name, mixed with the seed by SplitMix64's finaliser: the same on every machine and in every version.
fn hash(name: &str, seed: u64) -> u64 {
    let fnv = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let mut mixed = fnv ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
