//! The wall as one labelled picture.
