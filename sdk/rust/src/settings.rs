//! Reads what an operator can set.

use crate::door::settings as door;
use crate::{Error, Value, WrongKind};

/// The value of a declared setting as `T`.
///
/// # Errors
/// `invalid` if no setting of that name is declared, `wrong_kind` if it holds something else.
pub fn get<T: TryFrom<Value, Error = WrongKind>>(name: &str) -> Result<T, Error> {
    let value: Value = door::get(name)?.into();
    T::try_from(value).map_err(|wrong| Error::new("wrong_kind", format!("setting `{name}`: {wrong}")))
}
