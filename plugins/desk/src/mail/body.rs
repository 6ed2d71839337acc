//! The body of a part that lies in the message as it came: it is decoded once, and only if somebody wants it.

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::DecoderFnc;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::html_to_text;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Encoding, MessagePart, MimeHeaders as _, PartType};

use super::bounds::Bones;

/// The most bytes of which a text is made.
const TEXT_BYTES_MAX: usize = 128 << 10;

/// In which charset bytes are text.
#[derive(Debug, Clone, Copy, Default)]
enum Charset {
    /// They are none.
    #[default]
    NoText,
    /// It is not said, or not known: UTF-8.
    Unknown,
    Known(DecoderFnc),
}

/// What a part holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content<'a> {
    bytes: Cow<'a, [u8]>,
    /// How `bytes` are written, if they are as they came.
    encoding: Encoding,
    charset: Charset,
    page: bool,
}

impl<'a> Content<'a> {
    /// What `part` holds, of which `bones` was read.
    pub(super) fn of(part: &MessagePart<'_>, bones: &Bones, raw: &'a [u8]) -> Self {
        let page = matches!(part.body, PartType::Html(_));
        let (from, until) = (part.offset_body as usize, part.offset_end as usize);
        let Some(bytes) = bones.lifted(from, until).and_then(|range| raw.get(range)) else {
            // The reader has decoded it; text is UTF-8.
            let bytes = Cow::Owned(part.contents().to_vec());
            return Self { bytes, encoding: Encoding::None, charset: Charset::NoText, page };
        };
        let is_text = matches!(part.body, PartType::Text(_) | PartType::Html(_));
        let named = || part.content_type().and_then(|kind| kind.attribute("charset"));
        let charset = match named().and_then(|name| charset_decoder(name.as_bytes())) {
            _ if !is_text => Charset::NoText,
            None => Charset::Unknown,
            Some(known) => Charset::Known(known),
        };
        Self { bytes: Cow::Borrowed(bytes), encoding: part.encoding, charset, page }
    }

    /// How many bytes it has at least, as far as one can say before it is decoded.
    pub(super) fn least(&self) -> usize {
        match self.encoding {
            // Four characters are three bytes; lines of 76 have two for their end.
            Encoding::Base64 => self.bytes.len() / 10 * 7,
            Encoding::QuotedPrintable => self.bytes.len() / 3,
            Encoding::None => self.bytes.len(),
        }
    }

    /// What it takes to decode it, in units of fuel: more than was measured.
    pub(super) fn effort(&self) -> usize {
        let encoding = match self.encoding {
            Encoding::Base64 => 30,
            Encoding::QuotedPrintable => 90,
            Encoding::None => 2,
        };
        let charset = if matches!(self.charset, Charset::NoText) { 0 } else { 30 };
        self.bytes.len().saturating_mul(encoding + charset)
    }

    /// Its bytes; those of a text in UTF-8.
    pub(crate) fn decoded(&self) -> Cow<'_, [u8]> {
        self.of_first(self.bytes.len())
    }

    /// Its text, of a long one the first [`TEXT_BYTES_MAX`] as they came; of a page the words.
    pub(super) fn text(&self) -> String {
        let bytes = self.of_first(TEXT_BYTES_MAX);
        let text = String::from_utf8_lossy(&bytes);
        if self.page { html_to_text(&text) } else { text.into_owned() }
    }

    fn of_first(&self, most: usize) -> Cow<'_, [u8]> {
        let bytes = self.bytes.get(..most).unwrap_or(&self.bytes);
        let plain = match self.encoding {
            Encoding::Base64 => base64_decode(bytes),
            Encoding::QuotedPrintable => quoted_printable_decode(bytes),
            Encoding::None => None,
        };
        // What says that it is encoded, and is not, stays as it is.
        let plain = plain.map_or(Cow::Borrowed(bytes), Cow::Owned);
        match self.charset {
            Charset::NoText => plain,
            Charset::Known(charset) => Cow::Owned(charset(&plain).into_bytes()),
            Charset::Unknown if std::str::from_utf8(&plain).is_ok() => plain,
            Charset::Unknown => Cow::Owned(String::from_utf8_lossy(&plain).into_owned().into_bytes()),
        }
    }
}
