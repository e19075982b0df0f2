//! Pictures from files and collections, and the one way in which they are prepared for a model.

mod array;
mod background;
mod content;
mod drawing;
mod images;
mod labels;
mod lines;
mod load;
mod prepare;
mod raster;
mod set;
pub mod simulator;

pub use content::{Facing, crop_to_content, is_on_white};
pub use drawing::looks_like_drawing;
pub use images::{Augmentation, Images, Move, draw_indices, pictures_of};
pub use labels::Labels;
pub use lines::{LineSettings, line_drawing};
pub use load::{EXTENSIONS, LONGEST_SIDE, MOST_PIXELS, decode, load_picture};
pub use prepare::{Crop, Fit, Preparation, Treatment, YKind, fit, prepare};
pub use set::{ImageSet, PreparedSet};
