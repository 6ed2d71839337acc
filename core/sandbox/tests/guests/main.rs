//! Scripts and plugins in the sandbox, from the outside: real guests against a host that takes down their calls.

#[cfg(test)]
mod checks;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod host;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod scripts;
