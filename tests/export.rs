//! Exported files are whole or not there.

use std::path::Path;

use counterpart::{Picture, data, export};

/// Noise, which does not pack: about 19 kB in a file.
fn picture() -> Picture {
    let mut state = 1_u32;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    let rgba = (0..4 * 90 * 70).map(|i| if i % 4 == 3 { 255 } else { noise() });
    Picture::new(90, 70, rgba.collect()).unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_png_is_read_back_with_its_texts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wall.png");
    std::fs::write(&path, "an older file").unwrap();
    let texts = [("counterpart.seed".to_owned(), "7 — ünïcödé\nline".to_owned())];
    export::write_png_with(&path, &picture(), &texts).unwrap();
    assert_eq!(data::load_picture(&path).unwrap(), picture());
    assert_eq!(export::png_texts(&std::fs::read(&path).unwrap()).unwrap(), texts);
    assert_eq!(files(folder.path()), ["wall.png"]);
    let clear = Picture::filled(3, 2, [9, 8, 7, 100]);
    export::write_png(&path, &clear).unwrap();
    assert_eq!(data::load_picture(&path).unwrap(), clear, "alpha is kept");
    assert!(export::write_png_with(&path, &clear, &[(String::new(), String::new())]).is_err());
    assert_eq!(data::load_picture(&path).unwrap(), clear, "a failure changes nothing");
    assert!(export::png_texts(b"no png").is_err());
}

#[test]
fn where_nothing_can_be_written_there_is_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let told = |path: &Path, about: &str| {
        let error = export::write_png(path, &picture()).unwrap_err().to_string();
        assert!(error.contains(about) && error.ends_with('.'), "{error:?} does not say {about:?}");
    };
    told(&folder.path().join("missing/wall.png"), "There is no folder");
    told(folder.path(), "not a file that can be written");
    told(Path::new("/"), "not a file that can be written");
    if Path::new("/dev/full").exists() {
        told(Path::new("/dev/full"), "not a file that can be written");
        assert!(std::fs::metadata("/dev/full").is_ok_and(|m| !m.is_file()), "the device is still there");
    }
    // Nobody may make files there, not even root.
    if Path::new("/proc/self").exists() {
        let error = export::write_png("/proc/self/wall.png", &picture()).unwrap_err();
        assert!(error.to_string().ends_with('.'), "{error:?}");
    }
    assert_eq!(files(folder.path()), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_read_only_folder_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(closed.join("probe"), "").is_ok() {
        eprintln!("passed over: this user may write everywhere");
        return;
    }
    let error = export::write_png(closed.join("wall.png"), &picture()).unwrap_err();
    assert!(error.to_string().contains("may not be written to"), "{error}");
    assert!(files(&closed).is_empty());
}

/// Runs in a namespace of its own where a disk of one page is mounted; see the test below.
#[test]
#[ignore = "started by a_full_disk_leaves_nothing_behind"]
fn writes_to_a_full_disk() {
    let disk = std::env::var_os("COUNTERPART_FULL_DISK").expect("the folder of the small disk");
    let disk = Path::new(&disk);
    let small = Picture::filled(2, 2, [1, 2, 3, 255]);
    export::write_png(disk.join("wall.png"), &small).unwrap();
    let error = export::write_png(disk.join("wall.png"), &picture()).unwrap_err().to_string();
    assert!(error.contains("no room left"), "{error}");
    assert_eq!(files(disk), ["wall.png"], "nothing half-written is left");
    assert_eq!(data::load_picture(disk.join("wall.png")).unwrap(), small, "the older file is whole");
    println!("the full disk was met");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=8k tmpfs \"$COUNTERPART_FULL_DISK\" || exit 77; \
                  exec \"$0\" --ignored --exact --nocapture writes_to_a_full_disk";
    let run = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("COUNTERPART_FULL_DISK", folder.path())
        .output();
    match run {
        Ok(output) if output.status.success() => {
            assert!(String::from_utf8_lossy(&output.stdout).contains("the full disk was met"));
        }
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("running 1 test") => {
            panic!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        }
        _ => eprintln!("passed over: no small disk can be mounted here"),
    }
}
