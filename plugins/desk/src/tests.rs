//! The desk against the SDK's fake host: what is hostile, and what the clock makes of shifts and holidays.

mod clocks;
mod mails;
mod shop;
