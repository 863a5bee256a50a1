//! The macro that generates the struct of a message, its reader and its writer from one declaration.

/// The Rust type of a field by its kind; see [`super::slots`].
macro_rules! slot {
    (one $type:ty) => { $type };
    (opt $type:ty) => { Option<$type> };
    (msg $type:ty) => { Option<$type> };
    (many $type:ty) => { Vec<$type> };
    (map $type:ty) => { Option<std::collections::BTreeMap<String, $type>> };
}

/// The `FieldKind` that a declaration names.
macro_rules! kind {
    (one) => {
        $crate::codec::FieldKind::One
    };
    (opt) => {
        $crate::codec::FieldKind::Opt
    };
    (msg) => {
        $crate::codec::FieldKind::Msg
    };
    (many) => {
        $crate::codec::FieldKind::Many
    };
    (map) => {
        $crate::codec::FieldKind::Map
    };
}

/// Declares messages. Each field has a Rust name (that of the proto file), a JSON name, a kind, a type and a number, in
/// proto order. Comments on messages and fields also go into the OpenAPI description; `@[…]` after them stands for
/// further attributes.
macro_rules! messages {
    ($($(#[doc = $about:literal])* $(@[$attribute:meta])* $name:ident {
        $($(#[doc = $text:literal])* $(@[$of_field:meta])* $field:ident $json:literal $kind:ident $type:ty = $number:literal;)*
    })*) => {$(
        $(#[doc = $about])*
        #[doc = concat!("\n\nMessage `", stringify!($name), "` of the API.")]
        #[derive(Clone, Debug, Default, PartialEq)]
        $(#[$attribute])*
        pub struct $name { $($(#[doc = $text])* #[doc = concat!("\n\n`", $json, "` in JSON.")] $(#[$of_field])* pub $field: slot!($kind $type),)* }

        impl $crate::codec::message::Message for $name {
            const DECLARATION: &'static $crate::codec::Declaration = &$crate::codec::Declaration {
                name: stringify!($name),
                about: &[$($about),*],
                fields: &[$($crate::codec::Field {
                    proto: stringify!($field),
                    json: $json,
                    optional: matches!(stringify!($kind).as_bytes(), b"opt"),
                    number: $number,
                    about: &[$($text),*],
                    kind: kind!($kind),
                    of: <$type as $crate::codec::Json>::TYPE,
                }),*],
            };

            #[allow(unused_assignments, unused_mut, unused_variables)]
            fn read_field(
                &mut self,
                name: &str,
                seen: &mut u64,
                reader: &mut $crate::codec::reader::Reader<'_>,
            ) -> Result<bool, $crate::codec::reader::Fault> {
                let mut bit = 1_u64;
                $(
                    if name == $json || name == stringify!($field) {
                        $crate::codec::message::mark(seen, bit, name, reader)?;
                        $crate::codec::slots::read::$kind(&mut self.$field, reader, $json)?;
                        return Ok(true);
                    }
                    bit <<= 1;
                )*
                Ok(false)
            }

            #[allow(unused_assignments, unused_mut, unused_variables)]
            fn bind(&mut self, position: usize, text: &str) -> Result<(), $crate::codec::message::BindError> {
                let mut left = position;
                $(
                    if left == 0 {
                        return $crate::codec::slots::bind::$kind(&mut self.$field, text);
                    }
                    left -= 1;
                )*
                Err($crate::codec::message::BindError::NotScalar)
            }

            #[allow(unused_variables)]
            fn write_fields(&self, object: &mut $crate::codec::message::Object<'_>) {
                $($crate::codec::slots::write::$kind(&self.$field, object, $json);)*
            }

            #[allow(unused_variables)]
            fn merge_field(
                &mut self,
                number: u32,
                raw: $crate::codec::wire::Raw<'_>,
            ) -> Result<(), $crate::codec::wire::WireFault> {
                match number {
                    $($number => $crate::codec::slots::merge::$kind(&mut self.$field, raw)
                        .map_err(|fault| fault.in_field(stringify!($field))),)*
                    _ => Ok(()),
                }
            }

            #[allow(unused_variables)]
            fn encode_fields(&self, out: &mut Vec<u8>) {
                $($crate::codec::slots::encode::$kind(&self.$field, $number, out);)*
            }
        }

        impl $crate::codec::value::Json for $name {
            const TYPE: $crate::codec::Type =
                $crate::codec::Type::Message(<Self as $crate::codec::message::Message>::DECLARATION);

            fn read(
                reader: &mut $crate::codec::reader::Reader<'_>,
                _field: &'static str,
            ) -> Result<Self, $crate::codec::reader::Fault> {
                $crate::codec::message::read_message(reader)
            }
            fn write(&self, out: &mut String) {
                $crate::codec::message::write_message(self, out);
            }
        }

        impl $crate::codec::wire::Wire for $name {
            /// A message has presence: it is encoded even if it is empty.
            fn is_default(&self) -> bool {
                false
            }
            fn encode(&self, number: u32, out: &mut Vec<u8>) {
                let mut inner = Vec::new();
                $crate::codec::message::Message::encode_fields(self, &mut inner);
                $crate::codec::wire::put_bytes(number, &inner, out);
            }
            fn merge(
                &mut self,
                raw: $crate::codec::wire::Raw<'_>,
            ) -> Result<(), $crate::codec::wire::WireFault> {
                $crate::codec::message::merge_message(self, raw.bytes()?)
            }
        }
    )*};
}

pub(crate) use {kind, messages, slot};
