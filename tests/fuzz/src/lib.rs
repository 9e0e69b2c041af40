//! What the fuzz targets share: worlds to decide in, and another reader of JSON to be held against.

pub mod model;
pub mod stage;
