//! Rules: the Common Expression Language (CEL) in a documented subset.
