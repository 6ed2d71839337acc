//! The stories that the product must keep, told from outside: HTTP and command line in, visible effects out.
//!
//! Each runs on SQLite and on PostgreSQL. They were written from the text, not from the code.

#[cfg(test)]
mod actions;
#[cfg(test)]
mod actions_back;
#[cfg(test)]
mod authors;
#[cfg(test)]
mod automations;
#[cfg(test)]
mod backtest_schedules;
#[cfg(test)]
mod backtest_waits;
#[cfg(test)]
mod backtests;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod budgets;
#[cfg(test)]
mod bulk;
#[cfg(test)]
mod calendars;
#[cfg(test)]
mod capabilities;
#[cfg(test)]
mod client;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod cron;
#[cfg(test)]
mod customer360;
#[cfg(test)]
mod database;
#[cfg(test)]
mod desk;
#[cfg(test)]
mod desk_crashes;
#[cfg(test)]
mod desk_kb;
#[cfg(test)]
mod desk_mail;
#[cfg(test)]
mod desk_work;
#[cfg(test)]
mod duplicates;
#[cfg(test)]
mod effects;
#[cfg(test)]
mod events;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod fan_out;
#[cfg(test)]
mod files;
#[cfg(test)]
mod functions;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod imports;
#[cfg(test)]
mod invoke;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod locks;
#[cfg(test)]
mod loyalty;
#[cfg(test)]
mod merges;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod process;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod records;
#[cfg(test)]
mod relations;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod resting;
#[cfg(test)]
mod retrying;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod rollups;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod searching;
#[cfg(test)]
mod segments;
#[cfg(test)]
mod segments_agree;
#[cfg(test)]
mod segments_hostile;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod steering;
#[cfg(test)]
mod surveys;
#[cfg(test)]
mod surveys_segments;
#[cfg(test)]
mod tags;
#[cfg(test)]
mod tapes;
#[cfg(test)]
mod undo;
#[cfg(test)]
mod undo_any;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod wait_any;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod waking;
#[cfg(test)]
mod watchdog;
#[cfg(test)]
mod watching;
