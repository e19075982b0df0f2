//! The loss as it is written on the command line: `pixel`, `perceptual`, `pixel-l1=1,perceptual=1:1:0.5,gram=0.1`.

use crate::model_file::LossConfig;

/// What `--help` says about it.
pub const HELP: &str = "The loss: parts with weights, as in `pixel-l1=1,perceptual=1:1:1`. Parts: pixel-l1 (or pixel), \
                        pixel-l2, perceptual (a weight per level), gram, colour (how much of which hues and lightness is there, \
                        wherever), cover (no part, but the share of a picture that things of X cover: colours of y are \
                        compared as though y covered as much), laplacian";

/// Reads a loss. Parts that are not named have the weight 0; a part without a weight has the weight 1, `perceptual`
/// without weights three levels of weight 1.
///
/// # Errors
/// With what is wrong, for clap to print.
pub fn parse(text: &str) -> Result<LossConfig, String> {
    let mut loss = LossConfig { pixel_l1: 0.0, ..LossConfig::default() };
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
        let number = |value: &str| value.parse::<f32>().map_err(|_| format!("{value:?} is not a weight"));
        let weight = || value.map_or(Ok(1.0), number);
        match name {
            "pixel" | "pixel-l1" => loss.pixel_l1 = weight()?,
            "pixel-l2" => loss.pixel_l2 = weight()?,
            "gram" => loss.gram = weight()?,
            "colour" => loss.colour = weight()?,
            "cover" => loss.cover = value.map_or_else(|| Err("cover needs a share".into()), number)?,
            "laplacian" => loss.laplacian = weight()?,
            "perceptual" => {
                loss.perceptual = value.unwrap_or("1:1:1").split(':').map(number).collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("there is no loss called {name:?}")),
        }
    }
    loss.check().map_err(|error| error.to_string())?;
    Ok(loss)
}

/// The same loss as [`parse`] reads it.
pub fn format(loss: &LossConfig) -> String {
    let single = [
        ("pixel-l1", loss.pixel_l1),
        ("pixel-l2", loss.pixel_l2),
        ("gram", loss.gram),
        ("colour", loss.colour),
        ("cover", loss.cover),
        ("laplacian", loss.laplacian),
    ];
    let mut parts: Vec<String> = single
        .into_iter()
        .filter(|(_, weight)| *weight != 0.0)
        .map(|(name, weight)| format!("{name}={weight}"))
        .collect();
    if !loss.perceptual.is_empty() {
        let weights: Vec<String> = loss.perceptual.iter().map(f32::to_string).collect();
        parts.push(format!("perceptual={}", weights.join(":")));
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in
            ["pixel-l1=1", "pixel-l1=0.5,gram=2,perceptual=0:0:1", "pixel-l2=3,colour=4,cover=0.25,laplacian=0.25"]
        {
            assert_eq!(format(&parse(text).unwrap()), text);
        }
        assert_eq!(parse("pixel,perceptual").unwrap(), LossConfig::perceptual(3));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "pixel=",
            "pixel=-1",
            "pixel=nan",
            "hue",
            "gram=1",
            "perceptual=1:x",
            "pixel=0",
            "cover=0.3",
            "pixel,cover",
            "pixel,cover=2",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
