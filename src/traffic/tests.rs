//! Tables and properties of joining.
