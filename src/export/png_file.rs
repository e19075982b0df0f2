//! PNG files, written beside their place and renamed, so that they are whole or not there at all.

use std::io::Cursor;
use std::path::Path;

use crate::files::write_beside;
use crate::{Because, Picture, Result};

/// The bytes of a PNG file with the given text chunks (keyword and text).
///
/// # Errors
/// When a keyword has not 1 to 79 Latin-1 characters.
pub fn encode_png(picture: &Picture, texts: &[(String, String)]) -> Result<Vec<u8>> {
    let cannot = || "The picture cannot be put into a PNG file.";
    let side = |length: usize| u32::try_from(length).because(cannot);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(picture.width())?, side(picture.height())?);
    encoder.set_depth(png::BitDepth::Eight);
    let opaque = picture.rgba().chunks_exact(4).all(|pixel| pixel[3] == 255);
    encoder.set_color(if opaque { png::ColorType::Rgb } else { png::ColorType::Rgba });
    for (keyword, text) in texts {
        encoder.add_itxt_chunk(keyword.clone(), text.clone()).because(cannot)?;
    }
    let mut writer = encoder.write_header().because(cannot)?;
    if opaque {
        let rgb: Vec<u8> = picture.rgba().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        writer.write_image_data(&rgb).because(cannot)?;
    } else {
        writer.write_image_data(picture.rgba()).because(cannot)?;
    }
    writer.finish().because(cannot)?;
    Ok(bytes)
}

/// The text chunks (keyword and text) of a PNG file's bytes.
///
/// # Errors
/// When the bytes are no PNG file.
pub fn png_texts(bytes: &[u8]) -> Result<Vec<(String, String)>> {
    let no_png = || "This is no PNG file, or it is damaged.";
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().because(no_png)?;
    reader.finish().because(no_png)?;
    let chunks = &reader.info().utf8_text;
    chunks.iter().map(|chunk| Ok((chunk.keyword.clone(), chunk.get_text().because(no_png)?))).collect()
}

/// Writes a picture as a PNG file. An existing file is replaced in one step, at the very end.
///
/// # Errors
/// When the folder is missing or may not be written to, or the disk is full; then nothing has changed.
pub fn write_png(path: impl AsRef<Path>, picture: &Picture) -> Result<()> {
    write_png_with(path, picture, &[])
}

/// Writes a picture as [`write_png`] does, with text chunks (keyword and text) inside.
///
/// # Errors
/// As [`write_png`], and as [`encode_png`].
pub fn write_png_with(path: impl AsRef<Path>, picture: &Picture, texts: &[(String, String)]) -> Result<()> {
    write_beside(path.as_ref(), &encode_png(picture, texts)?)
}
