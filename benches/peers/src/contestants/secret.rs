//! The secret that every contestant signs its cookies with.

pub(crate) const SECRET: &str =
    "a secret of sixty-four bytes or more, which is what axum-extra's and actix' keys ask for";
