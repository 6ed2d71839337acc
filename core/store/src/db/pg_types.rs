//! PostgreSQL's `date`, `timestamptz` and `json` on the wire, without a date library in between.

use sqlx::Postgres;
use sqlx::decode::Decode;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::types::Type;

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
const EPOCH_DAYS: i32 = 10_957;
/// Microseconds between the same two.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A `date` in days since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PgDay(pub(crate) i32);

/// A `timestamptz` in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PgInstant(pub(crate) i64);

/// A `json`, kept as it is written.
#[derive(Debug, Clone)]
pub(crate) struct PgJson(pub(crate) String);

macro_rules! pg_type {
    ($type:ty, $oid:literal, $array:literal) => {
        impl Type<Postgres> for $type {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_oid(Oid($oid))
            }
        }
        impl PgHasArrayType for $type {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::with_oid(Oid($array))
            }
        }
    };
}
pg_type!(PgDay, 1082, 1182);
pg_type!(PgInstant, 1184, 1185);
pg_type!(PgJson, 114, 199);

impl Encode<'_, Postgres> for PgDay {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <i32 as Encode<Postgres>>::encode(self.0 - EPOCH_DAYS, buffer)
    }
}

impl Decode<'_, Postgres> for PgDay {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(<i32 as Decode<Postgres>>::decode(value)? + EPOCH_DAYS))
    }
}

impl Encode<'_, Postgres> for PgInstant {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<Postgres>>::encode(self.0 - EPOCH_MICROS, buffer)
    }
}

impl Decode<'_, Postgres> for PgInstant {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(<i64 as Decode<Postgres>>::decode(value)? + EPOCH_MICROS))
    }
}

impl Encode<'_, Postgres> for PgJson {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&str as Encode<Postgres>>::encode_by_ref(&self.0.as_str(), buffer)
    }
}

impl Decode<'_, Postgres> for PgJson {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(<String as Decode<Postgres>>::decode(value)?))
    }
}
