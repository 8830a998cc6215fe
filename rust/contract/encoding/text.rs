// SPDX-License-Identifier: GPL-2.0-only

//! An encoded rule for people.

use super::{
    reader::{
        Attribute,
        Kind,
        Reader, //
    },
    Action,
    Field,
    Format, //
};
use core::{
    fmt,
    net::{
        Ipv4Addr,
        Ipv6Addr, //
    },
};

/// Shows the match of an encoded rule: `name:value[/mask]`, comma-separated, `-` if it is empty.
///
/// The mask is left out where it has all bits set.
pub(crate) struct MatchText<'a>(pub(crate) &'a [u8]);

/// Shows the actions of an encoded rule: `name[:argument][;name:value]...`, comma-separated, `-` if
/// there are none.
pub(crate) struct ActionsText<'a>(pub(crate) &'a [u8]);

/// A payload.
struct Value<'a>(Format, &'a [u8]);

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| (n << 8) | u64::from(*byte))
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |n, byte| (n << 8) | u64::from(*byte))
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(Format::DEC, bytes @ ([_] | [_, _] | [_, _, _, _])) => {
                write!(f, "{}", big_endian(bytes))
            }
            Self(Format::HEX, bytes) => {
                f.write_str("0x")?;
                hex(f, bytes)
            }
            Self(Format::NUM | Format::DEV, bytes) if bytes.len() <= 8 => {
                write!(f, "{}", little_endian(bytes))
            }
            Self(Format::FLAGS, bytes) if bytes.len() <= 8 => {
                write!(f, "{:#x}", little_endian(bytes))
            }
            Self(Format::IP4, &[a, b, c, d]) => Ipv4Addr::new(a, b, c, d).fmt(f),
            Self(Format::IP6, bytes) => match <[u8; 16]>::try_from(bytes) {
                Ok(address) => Ipv6Addr::from(address).fmt(f),
                Err(_) => Value(Format::BYTES, bytes).fmt(f),
            },
            Self(Format::MAC, bytes) => {
                for (i, byte) in bytes.iter().enumerate() {
                    write!(f, "{}{byte:02x}", if i == 0 { "" } else { ":" })?;
                }
                Ok(())
            }
            Self(Format::LSE, bytes @ [_, _, _, _]) => {
                let entry = big_endian(bytes);
                let (label, tc) = (entry >> 12, (entry >> 9) & 7);
                write!(f, "{label}:{tc}:{}:{}", (entry >> 8) & 1, entry & 0xff)
            }
            Self(Format::GENEVE, &[a, b, kind, ref data @ ..]) => {
                write!(f, "{a:02x}{b:02x}:{kind:02x}:")?;
                hex(f, data)
            }
            Self(Format::ERSPAN, [version, index @ .., direction, hwid]) if index.len() == 4 => {
                write!(f, "{version}:{}:{direction}:{hwid}", big_endian(index))
            }
            Self(Format::GTP, [kind, qfi]) => write!(f, "{kind:02x}:{qfi:02x}"),
            Self(Format::PFCP, [kind, seid @ ..]) if seid.len() == 8 => {
                write!(f, "{kind:02x}:{:x}", big_endian(seid))
            }
            Self(Format::GATE, [open, numbers @ ..]) if numbers.len() == 12 => {
                f.write_str(if *open == 0 { "close" } else { "open" })?;
                numbers
                    .chunks(4)
                    .try_for_each(|number| write!(f, ":{}", little_endian(number) as i32))
            }
            Self(_, bytes) => {
                f.write_str("0x")?;
                hex(f, bytes)
            }
        }
    }
}

/// How a mask is shown: in decimal it says nothing.
fn mask_format(format: Format) -> Format {
    match format {
        Format::DEC => Format::HEX,
        Format::NUM | Format::DEV => Format::FLAGS,
        other => other,
    }
}

fn field(f: &mut fmt::Formatter<'_>, name: &str, field: Field, of: &Attribute<'_>) -> fmt::Result {
    write!(f, "{name}:{}", Value(field.format, of.payload))?;
    match of.mask {
        Some(mask) => write!(f, "/{}", Value(mask_format(field.format), mask)),
        None => Ok(()),
    }
}

impl fmt::Display for MatchText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for attribute in Reader(self.0) {
            match attribute.kind {
                Kind::Field(known) => {
                    f.write_str(separator)?;
                    field(f, known.name, known, &attribute)?;
                }
                Kind::Unknown(tag) => write!(f, "{separator}unknown_field:{tag}")?,
                Kind::Cut => write!(f, "{separator}...")?,
                Kind::Action(_) => break,
            }
            separator = ",";
        }
        f.write_str(if separator.is_empty() { "-" } else { "" })
    }
}

/// Arguments that are the same for most actions.
const IMPLIED: [u8; 2] = [
    super::tables::arg::INDEX.tag,
    super::tables::arg::HW_STATS.tag,
];

impl fmt::Display for ActionsText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for attribute in Reader(self.0) {
            match attribute.kind {
                Kind::Action(number) => {
                    let action = Action::of(number);
                    match action {
                        Some(action) => write!(f, "{separator}{}", action.name())?,
                        None => write!(f, "{separator}unknown_action:{number}")?,
                    }
                    if let Some(action) = action.filter(|_| Action::has_argument(number)) {
                        write!(f, ":{}", Value(action.argument, attribute.payload))?;
                    }
                    separator = ",";
                }
                // What is before the first action is matched.
                _ if separator.is_empty() => {}
                Kind::Field(known) if IMPLIED.contains(&known.tag) => {}
                Kind::Field(known) => {
                    let name = known.name.trim_start_matches("enc_");
                    f.write_str(";")?;
                    field(f, name, known, &attribute)?;
                }
                Kind::Unknown(tag) => write!(f, ";unknown_argument:{tag}")?,
                Kind::Cut => f.write_str(",...")?,
            }
        }
        f.write_str(if separator.is_empty() { "-" } else { "" })
    }
}
