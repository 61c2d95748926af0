//! How a section of a scenario is declared: once, for the file, the flags, the defaults and the help.

/// What is known of a field, for help and errors.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The section of the file it belongs in.
    pub section: &'static str,
    /// Its name in the file; the flag is the same with `-` for `_`.
    pub name: &'static str,
    /// What it means, its unit, its effect; a space before each line.
    pub words: &'static str,
    /// Its default, as one would write it.
    pub default: fn() -> String,
}

/// Declares a section: its struct, its defaults, its flags (each an override of the field of the same name).
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $Section:ident in $key:literal, flags $Flags:ident {
            $( $(#[doc = $words:literal])+ pub $name:ident: $Type:ty = $default:expr, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $Section {
            $( $(#[doc = $words])+ pub $name: $Type, )+
        }

        impl Default for $Section {
            fn default() -> Self {
                Self { $( $name: $default, )+ }
            }
        }

        impl $Section {
            /// What is known of its fields.
            pub const FIELDS: &'static [$crate::scenario::section::Field] = &[$(
                $crate::scenario::section::Field {
                    section: $key,
                    name: stringify!($name),
                    words: concat!($($words, "\n"),+),
                    default: || { let default: $Type = $default; default.to_string() },
                },
            )+];
        }

        #[doc = concat!("Flags over the section `", $key, "`.")]
        #[derive(Debug, Clone, Default, clap::Args)]
        #[command(next_help_heading = $key)]
        pub struct $Flags {
            $(
                $(#[doc = $words])+
                #[arg(long, value_name = <$Type as $crate::scenario::units::Form>::FORM)]
                pub $name: Option<$Type>,
            )+
        }

        impl $Flags {
            /// Puts what was given in place of what the file says.
            pub fn apply(self, section: &mut $Section) {
                $( if let Some(given) = self.$name { section.$name = given; } )+
            }
        }
    };
}

pub(super) use section;
