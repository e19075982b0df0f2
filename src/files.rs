//! Files that appear under their names only when they are complete.

use crate::{Error, Result};
use std::fs::Metadata;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Writes a file beside its final name and renames it when it is complete and on the disk.
///
/// # Errors
/// When the folder is missing or may not be written to, or the disk is full; then nothing is left behind and a file
/// that was there before is as it was.
pub fn write_beside(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    replace(path, folder, bytes).map_err(|cause| refusal(path, folder, cause))
}

/// Learns before the work whether a result can be written: the place is no folder, device or input, and its folder takes
/// files.
///
/// # Errors
/// With what is wrong; nothing is changed.
pub fn check_place(path: &Path, inputs: &[PathBuf]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let same = |input: &PathBuf| match (input.canonicalize(), path.canonicalize()) {
        (Ok(input), Ok(path)) => input == path,
        _ => false,
    };
    if inputs.iter().any(same) {
        return Err(Error::new(format!("{} is an input and would be lost; choose another name.", path.display())));
    }
    is_place(path).and_then(|()| tempfile::tempfile_in(folder).map(drop)).map_err(|cause| refusal(path, folder, cause))
}

/// The sentence for a file that cannot be written.
fn refusal(path: &Path, folder: &Path, cause: std::io::Error) -> Error {
    let shown = path.display();
    let sentence = match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("There is no room left for {shown}; free some space or choose another folder.")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            format!("The folder {} may not be written to; choose another one.", folder.display())
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory if !folder.is_dir() => {
            format!("There is no folder {}; make it or choose another one.", folder.display())
        }
        ErrorKind::IsADirectory | ErrorKind::InvalidInput => {
            format!("{shown} is not a file that can be written; choose another name.")
        }
        _ => format!("{shown} could not be written; nothing was changed."),
    };
    Error::because(sentence, cause)
}

/// Refuses what a rename would replace by a file: a folder's name, a device.
fn is_place(path: &Path) -> std::io::Result<()> {
    if path.file_name().is_none() || path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(ErrorKind::InvalidInput.into());
    }
    Ok(())
}

/// The sentence for a path that cannot be opened.
pub fn cannot_open(path: &Path) -> String {
    if path.exists() {
        format!("{} cannot be read; check that you may open it.", path.display())
    } else {
        format!("There is no file {}; check its name.", path.display())
    }
}

/// Refuses to read what is no file: a folder has no bytes, and a pipe or a device may never end. What is known of a file.
///
/// # Errors
/// With a sentence, also when there is nothing of this name.
pub fn check_file(path: &Path) -> Result<Metadata> {
    let shown = path.display();
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(metadata),
        Ok(metadata) if metadata.is_dir() => Err(Error::new(format!("{shown} is a folder; choose a file."))),
        Ok(_) => Err(Error::new(format!("{shown} is no file but a pipe or a device; choose a file."))),
        Err(cause) => Err(Error::because(cannot_open(path), cause)),
    }
}

/// The folder for what the program can find out again: `$XDG_CACHE_HOME`, `~/.cache`, `~/Library/Caches` or
/// `%LOCALAPPDATA%`, with a folder of the program's own in it, which may not be there yet. `None` where the system names
/// none.
pub fn cache_folder() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        named("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        named("HOME").map(|home| home.join("Library/Caches"))
    } else {
        named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("counterpart"))
}

fn replace(path: &Path, folder: &Path, bytes: &[u8]) -> std::io::Result<()> {
    is_place(path)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".counterpart-").suffix(".part");
    #[cfg(unix)]
    {
        // What the person's umask allows, as for any new file, instead of a temporary file's 0600.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_are_there_and_nothing_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for bytes in [&b"first"[..], b"second, longer", b""] {
            write_beside(&path, bytes).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was left beside the file");
    }

    #[test]
    fn a_place_that_is_none_is_refused_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write_beside(&path, b"old").unwrap();
        for (place, word) in [
            (path.join("below-a-file"), "no folder"),
            (folder.path().join("nowhere/x"), "no folder"),
            (folder.path().to_owned(), "not a file"),
        ] {
            let error = write_beside(&place, b"new").unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_result_is_not_put_in_the_place_of_an_input() {
        let folder = tempfile::tempdir().unwrap();
        let (input, other) = (folder.path().join("input.png"), folder.path().join("other.png"));
        std::fs::write(&input, b"x").unwrap();
        let inputs = [input.clone()];
        check_place(&other, &inputs).unwrap();
        assert!(!other.exists());
        let around = folder.path().join(".").join("input.png");
        assert!(check_place(&around, &inputs).unwrap_err().to_string().contains("is an input"));
        assert!(check_place(folder.path(), &inputs).unwrap_err().to_string().contains("not a file"));
        let nowhere = folder.path().join("nowhere/x.png");
        assert!(check_place(&nowhere, &inputs).unwrap_err().to_string().contains("no folder"));
    }

    #[test]
    #[cfg(unix)]
    fn what_may_never_end_is_not_read() {
        check_file(Path::new(file!())).unwrap();
        assert!(check_file(Path::new("/dev/zero")).unwrap_err().to_string().contains("a device"));
        assert!(check_file(Path::new("/")).unwrap_err().to_string().contains("a folder"));
        assert!(check_file(Path::new("nowhere")).unwrap_err().to_string().contains("no file"));
    }

    #[test]
    #[cfg(unix)]
    fn a_file_may_be_read_by_whom_the_umask_allows() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, usual) = (folder.path().join("ours"), folder.path().join("usual"));
        write_beside(&ours, b"x").unwrap();
        std::fs::write(&usual, b"x").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
    }
}
