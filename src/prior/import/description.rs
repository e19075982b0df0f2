//! The description of a generator whose tensors' names do not tell what it computes: its layers in order, in JSON.

use crate::{Because, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What codes a generator was trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codes {
    /// N(0, I).
    #[default]
    Normal,
    /// Uniform in [-1, 1].
    Uniform,
    /// Of N(0, I), brought to a root mean square of 1.
    Sphere,
}

/// A generator's layers, in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// nz.
    pub latent: usize,
    /// What its codes were drawn from.
    pub codes: Codes,
    /// The values that it draws black and white with.
    pub range: [f32; 2],
    /// The layers in order.
    pub layers: Vec<Item>,
}

/// One layer of a description.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A linear layer: the tensors `NAME.weight` and `NAME.bias`.
    Linear {
        /// NAME.
        name: String,
        /// The gain of an equalised learning rate.
        equalised: Option<f32>,
    },
    /// A convolution.
    Convolution {
        /// NAME of the tensors `NAME.weight` and `NAME.bias`.
        name: String,
        /// Whether it is transposed.
        transposed: bool,
        /// The step.
        stride: usize,
        /// Zeros around the input (transposed: pixels cut off).
        padding: usize,
        /// Rows and columns that a transposed one adds at the end.
        output_padding: usize,
        /// The gain of an equalised learning rate.
        equalised: Option<f32>,
    },
    /// Batch normalisation: `NAME.weight`, `NAME.bias`, `NAME.running_mean`, `NAME.running_var`.
    BatchNorm {
        /// NAME.
        name: String,
        /// What is added to the variance.
        epsilon: f64,
    },
    /// max(x, 0).
    Relu,
    /// With this slope below 0.
    LeakyRelu(f32),
    /// The hyperbolic tangent.
    Tanh,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// Twice the size; bilinear or by repetition.
    Upsample {
        /// Which.
        bilinear: bool,
    },
    /// One pixel's channels as a map of `[channels, side, side]`.
    Reshape([usize; 2]),
    /// Channels to squares of pixels.
    PixelShuffle(usize),
    /// Channels divided by their root mean square.
    PixelNorm,
}

/// The keys by which a layer with options is known, and the options it may have.
const KINDS: [(&str, &[&str]); 8] = [
    ("linear", &["equalised"]),
    ("convolution", &["stride", "padding", "equalised"]),
    ("transposed", &["stride", "padding", "output_padding", "equalised"]),
    ("batch_norm", &["epsilon"]),
    ("leaky_relu", &[]),
    ("upsample", &[]),
    ("reshape", &[]),
    ("pixel_shuffle", &[]),
];
/// The layers that are a word alone.
const WORDS: [&str; 4] = ["relu", "tanh", "sigmoid", "pixel_norm"];

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    /// With a sentence that names the entry that is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).because(|| "The description is not JSON.")?;
        let Value::Object(map) = value else {
            return Err(Error::new("A description is an object with the entries latent and layers."));
        };
        let known = ["latent", "codes", "range", "layers", "comment"];
        if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Error::new(format!("The description has an entry {key:?}; the known ones are {known:?}.")));
        }
        let latent = whole(&map, "latent", None).map_err(entry("The description"))?;
        let codes = match map.get("codes") {
            None => Codes::Normal,
            Some(codes) => serde_json::from_value(codes.clone())
                .because(|| format!("\"codes\" is \"normal\", \"uniform\" or \"sphere\", not {codes}."))?,
        };
        let range: [f32; 2] = match map.get("range") {
            None => [-1.0, 1.0],
            Some(range) => serde_json::from_value(range.clone())
                .because(|| format!("\"range\" is two numbers, for example [0, 1], not {range}."))?,
        };
        if !(range[0].is_finite() && range[1].is_finite() && range[0] < range[1]) {
            return Err(Error::new("\"range\" is two numbers, those of black and of white, the lower first."));
        }
        let Some(Value::Array(items)) = map.get("layers") else {
            return Err(Error::new("The description needs \"layers\": a list of the layers in order."));
        };
        let layers = items.iter().enumerate().map(|(i, item)| Item::parse(item).map_err(entry(&format!("Layer {i}"))));
        Ok(Self { latent, codes, range, layers: layers.collect::<Result<_>>()? })
    }

    /// The description as JSON that [`Description::parse`] reads.
    pub fn to_json(&self) -> Value {
        let layers: Vec<Value> = self.layers.iter().map(Item::to_json).collect();
        serde_json::json!({"latent": self.latent, "codes": self.codes, "range": self.range, "layers": layers})
    }
}

/// Puts what an entry belongs to before what is wrong with it.
fn entry(what: &str) -> impl Fn(String) -> Error + use<'_> {
    move |wrong| {
        Error::new(format!("{what} of the description is wrong: {wrong}.").replace("The description of the", "The"))
    }
}

/// A whole number, or the default where there is none.
fn whole(map: &Map<String, Value>, key: &str, default: Option<usize>) -> Result<usize, String> {
    match (map.get(key), default) {
        (None, Some(default)) => Ok(default),
        (None, None) => Err(format!("{key:?} is missing")),
        (Some(value), _) => {
            let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
            number.ok_or_else(|| format!("{key:?} must be a whole number from 0 up, not {value}"))
        }
    }
}

impl Item {
    fn parse(value: &Value) -> Result<Self, String> {
        let kinds = || KINDS.iter().map(|(kind, _)| *kind);
        let all = || kinds().chain(WORDS).collect::<Vec<_>>().join(", ");
        let map = match value {
            Value::String(word) => {
                return match word.as_str() {
                    "relu" => Ok(Self::Relu),
                    "tanh" => Ok(Self::Tanh),
                    "sigmoid" => Ok(Self::Sigmoid),
                    "pixel_norm" => Ok(Self::PixelNorm),
                    other => Err(format!("there is no layer {other:?}; the known ones are {}", all())),
                };
            }
            Value::Object(map) => map,
            other => {
                return Err(format!("{other} is no layer; write {{\"transposed\": NAME, \"stride\": 2}} or \"relu\""));
            }
        };
        let Some((kind, options)) = KINDS.iter().find(|(kind, _)| map.contains_key(*kind)) else {
            return Err(format!("{value} names no known layer; the known ones are {}", all()));
        };
        if let Some(key) = map.keys().find(|key| *key != kind && !options.contains(&key.as_str())) {
            return Err(format!("a layer {kind:?} has no {key:?}; it may have {options:?}"));
        }
        let main = &map[*kind];
        let name = || main.as_str().map(str::to_owned).ok_or_else(|| format!("{kind:?} names a tensor, not {main}"));
        let equalised = match map.get("equalised") {
            None | Some(Value::Bool(false)) => None,
            Some(Value::Bool(true)) => Some(std::f32::consts::SQRT_2),
            Some(gain) => {
                let gain = gain.as_f64().filter(|gain| *gain > 0.0);
                Some(gain.ok_or("\"equalised\" is true, false, or the gain")? as f32)
            }
        };
        let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        Ok(match *kind {
            "linear" => Self::Linear { name: name()?, equalised },
            "convolution" | "transposed" => Self::Convolution {
                name: name()?,
                transposed: *kind == "transposed",
                stride: whole(map, "stride", Some(1))?,
                padding: whole(map, "padding", Some(0))?,
                output_padding: whole(map, "output_padding", Some(0))?,
                equalised,
            },
            "batch_norm" => {
                let epsilon = map.get("epsilon").map_or(Some(1e-5), Value::as_f64).filter(|e| *e >= 0.0);
                Self::BatchNorm { name: name()?, epsilon: epsilon.ok_or("\"epsilon\" must be a number from 0 up")? }
            }
            "leaky_relu" => {
                Self::LeakyRelu(main.as_f64().ok_or("\"leaky_relu\" is the slope below 0, for example 0.2")? as f32)
            }
            "upsample" => match main.as_str() {
                Some("nearest") => Self::Upsample { bilinear: false },
                Some("bilinear") => Self::Upsample { bilinear: true },
                _ => return Err(format!("\"upsample\" is \"nearest\" or \"bilinear\", not {main}")),
            },
            "reshape" => {
                let sides: Vec<usize> = main.as_array().into_iter().flatten().filter_map(number).collect();
                match sides[..] {
                    [channels, rows, columns] if rows == columns => Self::Reshape([channels, rows]),
                    _ => return Err("\"reshape\" is [channels, rows, columns], as many rows as columns".to_owned()),
                }
            }
            _ => Self::PixelShuffle(number(main).ok_or("\"pixel_shuffle\" is the factor, 2 for example")?),
        })
    }

    fn to_json(&self) -> Value {
        use serde_json::json;
        match self {
            Self::Linear { name, .. } => json!({ "linear": name }),
            Self::Convolution { name, transposed, stride, padding, output_padding, .. } => {
                let kind = if *transposed { "transposed" } else { "convolution" };
                let mut value = json!({ kind: name, "stride": stride, "padding": padding });
                if *output_padding > 0 {
                    value["output_padding"] = (*output_padding).into();
                }
                value
            }
            Self::BatchNorm { name, .. } => json!({ "batch_norm": name }),
            Self::Relu => json!("relu"),
            Self::LeakyRelu(slope) => json!({ "leaky_relu": slope }),
            Self::Tanh => json!("tanh"),
            Self::Sigmoid => json!("sigmoid"),
            Self::Upsample { bilinear } => json!({ "upsample": if *bilinear { "bilinear" } else { "nearest" } }),
            Self::Reshape([channels, side]) => json!({ "reshape": [channels, side, side] }),
            Self::PixelShuffle(factor) => json!({ "pixel_shuffle": factor }),
            Self::PixelNorm => json!("pixel_norm"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_read_and_written() {
        let text = r#"{"latent": 8, "codes": "uniform", "range": [0, 1], "layers": [
            {"linear": "fc"}, {"reshape": [4, 7, 7]}, {"batch_norm": "bn"}, {"upsample": "nearest"},
            {"transposed": "up", "stride": 2, "padding": 1, "output_padding": 1}, {"leaky_relu": 0.5},
            {"convolution": "last", "padding": 1}, "sigmoid"]}"#;
        let description = Description::parse(text).unwrap();
        assert_eq!((description.latent, description.codes, description.layers.len()), (8, Codes::Uniform, 8));
        assert_eq!(Description::parse(&description.to_json().to_string()).unwrap(), description);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |layers: &str| format!(r#"{{"latent": 8, "layers": [{layers}]}}"#);
        for (text, words) in [
            ("[]".to_owned(), "latent and layers"),
            ("{".to_owned(), "not JSON"),
            (r#"{"layers": []}"#.to_owned(), "\"latent\" is missing"),
            (r#"{"latent": 8}"#.to_owned(), "needs \"layers\""),
            (r#"{"latent": 8, "layers": [], "codes": "odd"}"#.to_owned(), "\"uniform\""),
            (r#"{"latent": 8, "layers": [], "range": [1, 0]}"#.to_owned(), "the lower first"),
            (r#"{"latent": 8, "layers": [], "lairs": 0}"#.to_owned(), "\"lairs\""),
            (with("\"relu\", \"gelu\""), "Layer 1 of the description is wrong: there is no layer \"gelu\""),
            (with("3"), "no layer"),
            (with(r#"{"conv": "a"}"#), "names no known layer"),
            (with(r#"{"convolution": "a", "steps": 2}"#), "no \"steps\""),
            (with(r#"{"convolution": 3}"#), "names a tensor"),
            (with(r#"{"transposed": "a", "stride": -1}"#), "\"stride\" must be a whole number"),
            (with(r#"{"reshape": [4, 7]}"#), "[channels, rows, columns]"),
        ] {
            let error = Description::parse(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
