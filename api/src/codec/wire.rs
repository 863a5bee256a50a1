//! Protocol buffers: the same messages in the form that gRPC carries (contract 16).
//!
//! Keys and varints are encoded with prost. Its derive is not used because it cannot represent some of our fields: free
//! objects kept as text, maps that may be absent, jiff's times. Input cannot cause recursion here: messages are nested
//! only as deep as their declarations.

use jiff::Timestamp;
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};

use super::time::Duration;

/// Why bytes are not a valid message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireFault(pub String);

impl From<prost::DecodeError> for WireFault {
    fn from(error: prost::DecodeError) -> Self {
        Self(error.to_string())
    }
}

impl WireFault {
    pub fn in_field(self, name: &str) -> Self {
        Self(format!(
            "field {}: {}",
            name.trim_start_matches("r#"),
            self.0
        ))
    }
}

/// The value of a field whose type is not known yet.
#[derive(Clone, Copy, Debug)]
pub enum Raw<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    pub fn varint(self) -> Result<u64, WireFault> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(self.mismatch()),
        }
    }

    pub fn fixed32(self) -> Result<[u8; 4], WireFault> {
        match self {
            Self::Fixed32(bytes) => Ok(bytes),
            _ => Err(self.mismatch()),
        }
    }

    pub fn fixed64(self) -> Result<[u8; 8], WireFault> {
        match self {
            Self::Fixed64(bytes) => Ok(bytes),
            _ => Err(self.mismatch()),
        }
    }

    pub fn bytes(self) -> Result<&'a [u8], WireFault> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(self.mismatch()),
        }
    }

    pub fn text(self) -> Result<&'a str, WireFault> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireFault("invalid UTF-8".to_owned()))
    }

    fn mismatch(self) -> WireFault {
        let wire_type = match self {
            Self::Varint(_) => "varint",
            Self::Fixed32(_) => "32-bit",
            Self::Fixed64(_) => "64-bit",
            Self::Bytes(_) => "length-delimited",
        };
        WireFault(format!("unexpected wire type: {wire_type}"))
    }
}

/// Takes the next field from the front of a message; `None` at its end. Groups, which none of our files has, are
/// skipped.
pub fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<(u32, Raw<'a>)>, WireFault> {
    while !rest.is_empty() {
        let (number, wire_type) = decode_key(rest)?;
        let raw = match wire_type {
            WireType::Varint => Raw::Varint(decode_varint(rest)?),
            WireType::ThirtyTwoBit => Raw::Fixed32(fixed(rest)?),
            WireType::SixtyFourBit => Raw::Fixed64(fixed(rest)?),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(rest)?).unwrap_or(usize::MAX);
                let (bytes, behind) = rest.split_at_checked(length).ok_or_else(cut_off)?;
                *rest = behind;
                Raw::Bytes(bytes)
            }
            WireType::StartGroup | WireType::EndGroup => {
                // Recursion is bounded: prost rejects groups nested more than 100 deep.
                skip_field(wire_type, number, rest, DecodeContext::default())?;
                continue;
            }
        };
        return Ok(Some((number, raw)));
    }
    Ok(None)
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], WireFault> {
    let (bytes, behind) = rest.split_first_chunk().ok_or_else(cut_off)?;
    *rest = behind;
    Ok(*bytes)
}

fn cut_off() -> WireFault {
    WireFault("unexpected EOF".to_owned())
}

/// A type that can be the value of a field.
pub trait Wire: Default {
    /// Whether the value is the default, which plain fields do not encode.
    fn is_default(&self) -> bool;

    /// Encodes the field with its key.
    fn encode(&self, number: u32, out: &mut Vec<u8>);

    /// Merges a value: messages are merged, everything else is replaced.
    fn merge(&mut self, raw: Raw<'_>) -> Result<(), WireFault>;
}

pub fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_varint(number: u32, value: u64, out: &mut Vec<u8>) {
    encode_key(number, WireType::Varint, out);
    encode_varint(value, out);
}

/// Integers: a value that is too long for its type is truncated, as the encoding demands.
macro_rules! varints {
    ($($type:ty: $value:ident => $to:expr, $raw:ident => $from:expr;)*) => {$(
        impl Wire for $type {
            fn is_default(&self) -> bool {
                *self == Self::default()
            }
            fn encode(&self, number: u32, out: &mut Vec<u8>) {
                let $value = *self;
                put_varint(number, $to, out);
            }
            fn merge(&mut self, raw: Raw<'_>) -> Result<(), WireFault> {
                let $raw = raw.varint()?;
                *self = $from;
                Ok(())
            }
        }
    )*};
}

varints! {
    bool: value => u64::from(value), raw => raw != 0;
    // Negative values are sign-extended to 64 bits.
    i32: value => i64::from(value) as u64, raw => raw as Self;
    u32: value => u64::from(value), raw => raw as Self;
    i64: value => value as u64, raw => raw as Self;
    u64: value => value, raw => raw;
}

/// Floats: only positive zero is the default; its negative and NaN are encoded.
macro_rules! floats {
    ($($type:ty: $wire_type:ident, $fixed:ident;)*) => {$(
        impl Wire for $type {
            fn is_default(&self) -> bool {
                self.to_bits() == 0
            }
            fn encode(&self, number: u32, out: &mut Vec<u8>) {
                encode_key(number, WireType::$wire_type, out);
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn merge(&mut self, raw: Raw<'_>) -> Result<(), WireFault> {
                *self = Self::from_le_bytes(raw.$fixed()?);
                Ok(())
            }
        }
    )*};
}

floats! {
    f32: ThirtyTwoBit, fixed32;
    f64: SixtyFourBit, fixed64;
}

impl Wire for String {
    fn is_default(&self) -> bool {
        self.is_empty()
    }
    fn encode(&self, number: u32, out: &mut Vec<u8>) {
        put_bytes(number, self.as_bytes(), out);
    }
    fn merge(&mut self, raw: Raw<'_>) -> Result<(), WireFault> {
        raw.text()?.clone_into(self);
        Ok(())
    }
}

/// Encodes seconds and nanoseconds, the form of both `Duration` and `Timestamp`.
fn put_seconds(number: u32, seconds: i64, nanos: i32, out: &mut Vec<u8>) {
    let mut inner = Vec::new();
    if seconds != 0 {
        seconds.encode(1, &mut inner);
    }
    if nanos != 0 {
        nanos.encode(2, &mut inner);
    }
    put_bytes(number, &inner, out);
}

fn take_seconds(raw: Raw<'_>, seconds: &mut i64, nanos: &mut i32) -> Result<(), WireFault> {
    let mut bytes = raw.bytes()?;
    while let Some((number, raw)) = next(&mut bytes)? {
        match number {
            1 => seconds.merge(raw)?,
            2 => nanos.merge(raw)?,
            _ => {}
        }
    }
    Ok(())
}

impl Wire for Duration {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
    fn encode(&self, number: u32, out: &mut Vec<u8>) {
        put_seconds(number, self.seconds, self.nanos, out);
    }
    /// Accepts any two numbers: users of the span saturate it, and validation checks the result.
    fn merge(&mut self, raw: Raw<'_>) -> Result<(), WireFault> {
        take_seconds(raw, &mut self.seconds, &mut self.nanos)
    }
}

impl Wire for Timestamp {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
    fn encode(&self, number: u32, out: &mut Vec<u8>) {
        // On the wire nanoseconds count forward, also for times before 1970.
        let nanos = self.as_nanosecond();
        let (seconds, nanos) = (
            nanos.div_euclid(1_000_000_000),
            nanos.rem_euclid(1_000_000_000),
        );
        put_seconds(number, seconds as i64, nanos as i32, out);
    }
    fn merge(&mut self, raw: Raw<'_>) -> Result<(), WireFault> {
        let (mut seconds, mut nanos) = (0, 0);
        take_seconds(raw, &mut seconds, &mut nanos)?;
        *self = Self::new(seconds, nanos)
            .map_err(|_| WireFault("a timestamp that no calendar holds".to_owned()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::messages::{
        OptionalAutoscaling, PatchSchedulerRequest, PortRange, UpdateRoomWithPingRequest,
    };
    use crate::codec::{Struct, from_wire, to_wire};

    fn round<T: Wire>(value: &T) -> T {
        let mut out = Vec::new();
        value.encode(1, &mut out);
        let mut back = T::default();
        let (number, raw) = next(&mut out.as_slice()).unwrap().unwrap();
        assert_eq!(number, 1);
        back.merge(raw).unwrap();
        back
    }

    #[test]
    fn values_come_back_as_they_went() {
        for n in [0, 1, -1, i64::MIN, i64::MAX] {
            assert_eq!(round(&n), n);
            assert_eq!(round(&(n as i32)), n as i32);
        }
        assert_eq!(round(&u32::MAX), u32::MAX);
        assert_eq!(round(&-0.1_f32).to_bits(), (-0.1_f32).to_bits());
        for n in [0.1, -0.0, f64::MAX, 5e-324, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(round(&n).to_bits(), n.to_bits());
        }
        for text in [
            "1969-12-31T23:59:59.5Z",
            "2026-01-02T03:04:05.678901Z",
            "0001-01-01T00:00:00Z",
        ] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(round(&time), time, "{text}");
        }
        let span = Duration {
            seconds: -3,
            nanos: -500_000_000,
        };
        assert_eq!(round(&span), span);
    }

    /// Written by hand: -1 takes ten bytes, and times before 1970 count their fraction forward.
    #[test]
    fn the_bytes_are_those_of_the_encoding() {
        let written = |value: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            value(&mut out);
            out
        };
        assert_eq!(written(&|out| (-1_i32).encode(3, out)), {
            let mut bytes = vec![0x18];
            bytes.extend([0xff; 9]);
            bytes.push(0x01);
            bytes
        });
        assert_eq!(
            written(&|out| 0.25_f64.encode(2, out)),
            [0x11, 0, 0, 0, 0, 0, 0, 0xd0, 0x3f]
        );
        let time: Timestamp = "1970-01-01T00:00:01.5Z".parse().unwrap();
        assert_eq!(
            written(&|out| time.encode(2, out)),
            [0x12, 8, 0x08, 1, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01]
        );
    }

    #[test]
    fn absent_and_empty_are_told_apart_where_the_file_says_optional() {
        let nothing = PatchSchedulerRequest::default();
        assert_eq!(to_wire(&nothing), [0_u8; 0]);
        let zeros = PatchSchedulerRequest {
            max_surge: Some(String::new()),
            rooms_replicas: Some(0),
            port_range: Some(PortRange::default()),
            autoscaling: Some(OptionalAutoscaling {
                enabled: Some(false),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(from_wire(&to_wire(&zeros)), Ok(zeros));
    }

    #[test]
    fn fields_that_come_twice_are_merged_and_unknown_ones_passed_over() {
        // autoscaling { min: 2 }, field 99, a group 98, autoscaling { max: 3 }, max_surge twice.
        let bytes = b"\x32\x02\x10\x02\x98\x06\x01\x93\x06\x08\x01\x94\x06\x32\x02\x18\x03\x22\x01a\x22\x01b";
        let patch: PatchSchedulerRequest = from_wire(bytes).unwrap();
        let autoscaling = patch.autoscaling.unwrap();
        assert_eq!((autoscaling.min, autoscaling.max), (Some(2), Some(3)));
        assert_eq!(patch.max_surge.as_deref(), Some("b"));
    }

    #[test]
    fn damaged_bytes_are_refused_with_the_field() {
        for (bytes, why) in [
            (&b"\x0a\x05ab"[..], "unexpected EOF"),
            (b"\x0a", "invalid varint"),
            (b"\x08\x01", "field name: unexpected wire type: varint"),
            (b"\x0a\x01\xff", "field name: invalid UTF-8"),
            (b"\x32\x02\x15\x01", "field autoscaling: unexpected EOF"),
            (
                b"\x32\x03\x12\x01\x01",
                "field autoscaling: field min: unexpected wire type: length-delimited",
            ),
        ] {
            let refused = from_wire::<PatchSchedulerRequest>(bytes).unwrap_err();
            let text = refused.to_string();
            assert!(text.starts_with("proto: ") && text.ends_with(why), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
            at in 0..64_usize,
        ) {
            let mut sample = to_wire(&UpdateRoomWithPingRequest {
                metadata: Struct::from_text(r#"{"a":[1,{"b":null}],"c":"d"}"#).ok(),
                ..Default::default()
            });
            let at = at.min(sample.len());
            sample.splice(at..at, bytes.iter().copied());
            for bytes in [&bytes, &sample] {
                if let Ok(ping) = from_wire::<UpdateRoomWithPingRequest>(bytes) {
                    proptest::prop_assert_eq!(from_wire(&to_wire(&ping)), Ok(ping));
                }
            }
        }
    }
}
