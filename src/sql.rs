//! How SQL is made: names, literals, COPY text.

pub mod copytext;
pub mod ident;
