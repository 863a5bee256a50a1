//! The five kinds of field a message can have, and how each treats presence (contract 2.1).
//!
//! | kind | Rust | absent or null in a request | unset in a response |
//! |---|---|---|---|
//! | `one` | `T` | default | default value |
//! | `opt` | `Option<T>` | `None` | omitted |
//! | `msg` | `Option<T>` | `None` | `null` |
//! | `many` | `Vec<T>` | empty | `[]` |
//! | `map` | `Option<BTreeMap<String, T>>` | `None`, which `{}` is not | `{}` |

/// Reads the value of a field from a JSON body.
pub mod read {
    use std::collections::BTreeMap;

    use crate::codec::reader::{Fault, Reader};
    use crate::codec::value::Json;

    pub fn one<T: Json>(
        slot: &mut T,
        reader: &mut Reader<'_>,
        field: &'static str,
    ) -> Result<(), Fault> {
        if !reader.take_null() {
            *slot = T::read(reader, field)?;
        }
        Ok(())
    }

    pub fn opt<T: Json>(
        slot: &mut Option<T>,
        reader: &mut Reader<'_>,
        field: &'static str,
    ) -> Result<(), Fault> {
        if !reader.take_null() {
            *slot = Some(T::read(reader, field)?);
        }
        Ok(())
    }

    pub use opt as msg;

    pub fn many<T: Json>(
        slot: &mut Vec<T>,
        reader: &mut Reader<'_>,
        field: &'static str,
    ) -> Result<(), Fault> {
        if reader.take_null() {
            return Ok(());
        }
        reader.open(b'[')?;
        let mut first = true;
        while reader.next(&mut first, b']')? {
            slot.push(T::read(reader, field)?);
        }
        Ok(())
    }

    pub fn map<T: Json>(
        slot: &mut Option<BTreeMap<String, T>>,
        reader: &mut Reader<'_>,
        _field: &'static str,
    ) -> Result<(), Fault> {
        if reader.take_null() {
            return Ok(());
        }
        reader.open(b'{')?;
        let mut entries = BTreeMap::new();
        let mut first = true;
        while reader.next(&mut first, b'}')? {
            let key = reader.key()?.into_owned();
            let value = T::read(reader, "value")?;
            if let Some(key) = entries.contains_key(&key).then_some(&key) {
                return Err(reader.fault(format!("duplicate map key {key:?}")));
            }
            entries.insert(key, value);
        }
        *slot = Some(entries);
        Ok(())
    }
}

/// Writes a field with its name as JSON, or nothing if the kind omits it.
pub mod write {
    use std::collections::BTreeMap;

    use crate::codec::message::Object;
    use crate::codec::value::{Json, write_string};

    pub fn one<T: Json>(slot: &T, object: &mut Object<'_>, name: &str) {
        slot.write(object.field(name));
    }

    pub fn opt<T: Json>(slot: &Option<T>, object: &mut Object<'_>, name: &str) {
        if let Some(value) = slot {
            value.write(object.field(name));
        }
    }

    pub fn msg<T: Json>(slot: &Option<T>, object: &mut Object<'_>, name: &str) {
        match slot {
            Some(value) => value.write(object.field(name)),
            None => object.field(name).push_str("null"),
        }
    }

    pub fn many<T: Json>(slot: &[T], object: &mut Object<'_>, name: &str) {
        let out = object.field(name);
        out.push('[');
        for (position, item) in slot.iter().enumerate() {
            if position > 0 {
                out.push(',');
            }
            item.write(out);
        }
        out.push(']');
    }

    pub fn map<T: Json>(slot: &Option<BTreeMap<String, T>>, object: &mut Object<'_>, name: &str) {
        let out = object.field(name);
        out.push('{');
        for (position, (key, value)) in slot.iter().flatten().enumerate() {
            if position > 0 {
                out.push(',');
            }
            write_string(out, key);
            out.push(':');
            value.write(out);
        }
        out.push('}');
    }
}

/// Sets a field from a path or query parameter.
pub mod bind {
    use std::collections::BTreeMap;

    use crate::codec::message::BindError;
    use crate::codec::value::Json;

    pub fn one<T: Json>(slot: &mut T, text: &str) -> Result<(), BindError> {
        *slot = T::from_parameter(text)
            .ok_or(BindError::NotScalar)?
            .map_err(BindError::Invalid)?;
        Ok(())
    }

    pub fn opt<T: Json>(slot: &mut Option<T>, text: &str) -> Result<(), BindError> {
        let value = T::from_parameter(text).ok_or(BindError::NotScalar)?;
        *slot = Some(value.map_err(BindError::Invalid)?);
        Ok(())
    }

    pub fn msg<T>(_slot: &mut Option<T>, _text: &str) -> Result<(), BindError> {
        Err(BindError::NotScalar)
    }

    pub fn many<T>(_slot: &mut Vec<T>, _text: &str) -> Result<(), BindError> {
        Err(BindError::NotScalar)
    }

    pub fn map<T>(_slot: &mut Option<BTreeMap<String, T>>, _text: &str) -> Result<(), BindError> {
        Err(BindError::NotScalar)
    }
}

/// Encodes a field for gRPC, or nothing if it is unset.
pub mod encode {
    use std::collections::BTreeMap;

    use crate::codec::wire::{Wire, put_bytes};

    pub fn one<T: Wire>(slot: &T, number: u32, out: &mut Vec<u8>) {
        if !slot.is_default() {
            slot.encode(number, out);
        }
    }

    pub fn opt<T: Wire>(slot: &Option<T>, number: u32, out: &mut Vec<u8>) {
        if let Some(value) = slot {
            value.encode(number, out);
        }
    }

    pub use opt as msg;

    pub fn many<T: Wire>(slot: &[T], number: u32, out: &mut Vec<u8>) {
        for item in slot {
            item.encode(number, out);
        }
    }

    pub fn map<T: Wire>(slot: &Option<BTreeMap<String, T>>, number: u32, out: &mut Vec<u8>) {
        for (key, value) in slot.iter().flatten() {
            let mut entry = Vec::new();
            key.encode(1, &mut entry);
            value.encode(2, &mut entry);
            put_bytes(number, &entry, out);
        }
    }
}

/// Merges the value of a field from the wire. An empty map is not encoded, so it arrives as absent.
pub mod merge {
    use std::collections::BTreeMap;

    use crate::codec::wire::{Raw, Wire, WireFault, next};

    pub fn one<T: Wire>(slot: &mut T, raw: Raw<'_>) -> Result<(), WireFault> {
        slot.merge(raw)
    }

    pub fn opt<T: Wire>(slot: &mut Option<T>, raw: Raw<'_>) -> Result<(), WireFault> {
        slot.get_or_insert_default().merge(raw)
    }

    pub use opt as msg;

    pub fn many<T: Wire>(slot: &mut Vec<T>, raw: Raw<'_>) -> Result<(), WireFault> {
        let mut item = T::default();
        item.merge(raw)?;
        slot.push(item);
        Ok(())
    }

    pub fn map<T: Wire>(
        slot: &mut Option<BTreeMap<String, T>>,
        raw: Raw<'_>,
    ) -> Result<(), WireFault> {
        let (mut key, mut value) = (String::new(), T::default());
        let mut entry = raw.bytes()?;
        while let Some((number, raw)) = next(&mut entry)? {
            match number {
                1 => key.merge(raw)?,
                2 => value.merge(raw)?,
                _ => {}
            }
        }
        slot.get_or_insert_default().insert(key, value);
        Ok(())
    }
}
