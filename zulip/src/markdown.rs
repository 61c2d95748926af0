//! A message's text as HTML, in Zulip's dialect of Markdown.
//!
//! Nothing of the text becomes markup but what is written here: HTML in it is shown as it stands, and links
//! lead only to the web, to mail, and to this server.

mod inline;
mod mention;

use std::fmt::Write as _;

use pulldown_cmark::{Alignment, CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use pulldown_cmark::{LinkType, TextMergeStream};

use crate::names::Names;
pub use mention::Mentions;
use mention::{Marker, Reference};

/// A text as HTML, and whom it calls.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The HTML.
    pub html: String,
    /// Whom the text mentions.
    pub mentions: Mentions,
}

/// `content` as HTML.
#[must_use]
pub fn render(content: &str, names: &dyn Names) -> Rendered {
    let options = Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES;
    let parser = Parser::new_ext(content, options);
    let mut writer = Writer { names, out: Rendered::default(), marker: None, table: None, links: 0 };
    let mut events = TextMergeStream::new(parser).peekable();
    while let Some(event) = events.next() {
        // A name in bold behind `@` or `#` is no bold text.
        if let (Some(marker), Event::Start(Tag::Strong)) = (writer.marker.take(), &event) {
            let mut name = String::new();
            for inner in events.by_ref() {
                if let Event::Text(text) | Event::Code(text) = &inner {
                    name.push_str(text);
                } else if inner == Event::End(TagEnd::Strong) {
                    break;
                }
            }
            writer.reference(marker, &name);
            continue;
        }
        writer.event(event, matches!(events.peek(), Some(Event::Start(Tag::Strong))));
    }
    let end = writer.out.html.trim_end().len();
    writer.out.html.truncate(end);
    writer.out
}

/// Whom `content` mentions.
#[must_use]
pub fn mentions(content: &str, names: &dyn Names) -> Mentions {
    // Most texts mention nobody, and need not be parsed to know it.
    if content.contains("@**") { render(content, names).mentions } else { Mentions::default() }
}

/// The names that `content` may mention, and their ids where it says them; at most 100. Whoever renders a text with
/// only these known finds all whom it mentions.
#[must_use]
pub fn possible_mentions(content: &str) -> Vec<(String, Option<squall_protocol::UserId>)> {
    mention::possible(content)
}

/// The names of streams that `content` may link to; at most 100.
#[must_use]
pub fn possible_streams(content: &str) -> Vec<String> {
    mention::possible_streams(content)
}

struct Writer<'a> {
    names: &'a dyn Names,
    out: Rendered,
    /// The text so far ended with the beginning of a mention or a link to a stream.
    marker: Option<Marker>,
    /// The table that is being written.
    table: Option<Table>,
    /// Links around the text that is being written.
    links: usize,
}

/// A table's columns, the next of them, and whether its head is being written.
struct Table {
    columns: Vec<Alignment>,
    next: usize,
    head: bool,
}

impl Writer<'_> {
    fn event(&mut self, event: Event<'_>, before_strong: bool) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text, before_strong),
            Event::Code(code) => {
                self.push("<code>");
                self.escape(&code);
                self.push("</code>");
            }
            // Shown as it stands.
            Event::Html(html) | Event::InlineHtml(html) => self.escape(&html),
            Event::SoftBreak | Event::HardBreak => self.push("<br>\n"),
            Event::Rule => self.push("<hr>\n"),
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.escape(&text);
            }
            Event::TaskListMarker(_) => {}
        }
    }

    fn text(&mut self, text: &str, before_strong: bool) {
        let (text, marker) = match before_strong.then(|| Marker::at_end_of(text)).flatten() {
            Some((rest, marker)) => (rest, Some(marker)),
            None => (text, None),
        };
        self.marker = marker;
        if self.links > 0 || self.in_code() {
            self.escape(text);
        } else {
            inline::write_with_links(&mut self.out.html, text);
        }
    }

    fn in_code(&self) -> bool {
        self.out.html.ends_with("<code>")
    }

    fn reference(&mut self, marker: Marker, name: &str) {
        match marker.resolve(name, self.names) {
            Some(reference) => {
                if !matches!(marker, Marker::SilentMention) {
                    self.out.mentions.add(&reference);
                }
                self.write_reference(&reference, marker);
            }
            // Nobody is called so: what stood there.
            None => {
                self.escape(marker.text());
                self.push("<strong>");
                self.escape(name);
                self.push("</strong>");
            }
        }
    }

    fn write_reference(&mut self, reference: &Reference<'_>, marker: Marker) {
        let silent = matches!(marker, Marker::SilentMention);
        let (class, at) = if silent { ("user-mention silent", "") } else { ("user-mention", "@") };
        match reference {
            Reference::User(user) => {
                let _ =
                    write!(self.out.html, "<span class=\"{class}\" data-user-id=\"{}\">{at}", user.user_id);
                self.escape(&user.full_name);
                self.push("</span>");
            }
            Reference::Everyone(word) => {
                let _ = write!(self.out.html, "<span class=\"{class}\" data-user-id=\"*\">{at}{word}</span>");
            }
            Reference::Stream(stream, topic) => {
                let id = stream.stream_id;
                let class = if topic.is_some() { "stream-topic" } else { "stream" };
                let _ = write!(
                    self.out.html,
                    "<a class=\"{class}\" data-stream-id=\"{id}\" href=\"/#narrow/channel/{id}"
                );
                self.push("-");
                inline::write_hash_component(&mut self.out.html, &stream.name.replace(' ', "-"));
                if let Some(topic) = topic {
                    self.push("/topic/");
                    inline::write_hash_component(&mut self.out.html, topic);
                }
                self.push("\">#");
                self.escape(&stream.name);
                if let Some(topic) = topic {
                    self.push(" &gt; ");
                    self.escape(topic);
                }
                self.push("</a>");
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph => self.push("<p>"),
            Tag::Heading { level, .. } => self.push(&format!("<h{}>", number(level))),
            Tag::BlockQuote(_) => self.push("<blockquote>\n"),
            Tag::CodeBlock(kind) => self.start_code(kind),
            Tag::List(None) => self.push("<ul>\n"),
            Tag::List(Some(1)) => self.push("<ol>\n"),
            Tag::List(Some(start)) => self.push(&format!("<ol start=\"{start}\">\n")),
            Tag::Item => self.push("<li>"),
            Tag::Table(columns) => {
                self.table = Some(Table { columns, next: 0, head: true });
                self.push("<table>\n");
            }
            Tag::TableHead => self.push("<thead>\n<tr>\n"),
            Tag::TableRow => self.push("<tr>\n"),
            Tag::TableCell => self.start_cell(),
            Tag::Emphasis => self.push("<em>"),
            Tag::Strong => self.push("<strong>"),
            Tag::Strikethrough => self.push("<del>"),
            Tag::Link { dest_url, link_type, .. } => self.start_link(&dest_url, link_type),
            Tag::Image { dest_url, .. } => self.start_link(&dest_url, LinkType::Inline),
            Tag::HtmlBlock => self.push("<p>"),
            Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::Superscript
            | Tag::Subscript
            | Tag::MetadataBlock(_) => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.push("</p>\n"),
            TagEnd::Heading(level) => self.push(&format!("</h{}>\n", number(level))),
            TagEnd::BlockQuote(_) => self.push("</blockquote>\n"),
            TagEnd::CodeBlock => self.push("</code></pre></div>\n"),
            TagEnd::List(false) => self.push("</ul>\n"),
            TagEnd::List(true) => self.push("</ol>\n"),
            TagEnd::Item => self.push("</li>\n"),
            TagEnd::Table => {
                self.table = None;
                self.push("</tbody>\n</table>\n");
            }
            TagEnd::TableHead => {
                self.push("</tr>\n</thead>\n<tbody>\n");
                self.next_row();
            }
            TagEnd::TableRow => {
                self.push("</tr>\n");
                self.next_row();
            }
            TagEnd::TableCell => self.end_cell(),
            TagEnd::Emphasis => self.push("</em>"),
            TagEnd::Strong => self.push("</strong>"),
            TagEnd::Strikethrough => self.push("</del>"),
            TagEnd::Link | TagEnd::Image => {
                self.links = self.links.saturating_sub(1);
                self.push("</a>");
            }
            TagEnd::FootnoteDefinition
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::MetadataBlock(_) => {}
        }
    }

    fn start_code(&mut self, kind: CodeBlockKind<'_>) {
        let language = match kind {
            CodeBlockKind::Fenced(info) => info.split_whitespace().next().unwrap_or("").to_owned(),
            CodeBlockKind::Indented => String::new(),
        };
        self.push("<div class=\"codehilite\"");
        if !language.is_empty() {
            self.push(" data-code-language=\"");
            self.escape(&language);
            self.push("\"");
        }
        self.push("><pre><span></span><code>");
    }

    fn start_cell(&mut self) {
        let Some(table) = &mut self.table else { return };
        let alignment = match table.columns.get(table.next) {
            None | Some(Alignment::None) => "",
            Some(Alignment::Left) => " style=\"text-align: left;\"",
            Some(Alignment::Center) => " style=\"text-align: center;\"",
            Some(Alignment::Right) => " style=\"text-align: right;\"",
        };
        table.next += 1;
        let cell = format!("<{}{alignment}>", table.cell());
        self.push(&cell);
    }

    fn end_cell(&mut self) {
        let Some(table) = &self.table else { return };
        let cell = format!("</{}>\n", table.cell());
        self.push(&cell);
    }

    fn next_row(&mut self) {
        if let Some(table) = &mut self.table {
            table.next = 0;
            table.head = false;
        }
    }

    fn start_link(&mut self, target: &CowStr<'_>, kind: LinkType) {
        self.links += 1;
        let target = if kind == LinkType::Email { format!("mailto:{target}") } else { target.to_string() };
        self.push("<a href=\"");
        // A place that may not be linked to is linked to nowhere; its words stay.
        if inline::is_safe(&target) {
            self.escape(&target);
        }
        self.push("\">");
    }

    fn push(&mut self, html: &str) {
        self.out.html.push_str(html);
    }

    fn escape(&mut self, text: &str) {
        inline::escape(&mut self.out.html, text);
    }
}

impl Table {
    fn cell(&self) -> &'static str {
        if self.head { "th" } else { "td" }
    }
}

fn number(level: HeadingLevel) -> usize {
    level as usize
}

#[cfg(test)]
mod tests;
