use proptest::prelude::*;
use squall_protocol::event::{Role, Stream, User};
use squall_protocol::{StreamId, UserId};

use super::*;
use crate::names::KnownNames;

fn names() -> KnownNames {
    let user = |(id, name): (u32, &str)| {
        let user = User {
            user_id: UserId(id),
            email: format!("{id}@x"),
            full_name: name.into(),
            role: Role::Member,
            is_bot: false,
            is_active: true,
        };
        (user.user_id, user)
    };
    let stream = Stream {
        stream_id: StreamId(4),
        name: "design team".into(),
        description: String::new(),
        invite_only: false,
    };
    KnownNames {
        users: [(1, "Ada <3"), (2, "Bo"), (3, "Cy"), (5, "Cy")].map(user).into(),
        streams: [(stream.stream_id, stream)].into(),
    }
}

fn html(content: &str) -> String {
    render(content, &names()).html
}

#[test]
fn lines_and_paragraphs_stay_apart() {
    assert_eq!(html("one\ntwo\n\n\nthree"), "<p>one<br>\ntwo</p>\n<p>three</p>");
}

#[test]
fn markup_of_the_text_is_followed() {
    for (content, expected) in [
        ("*a* **b** ~~c~~ `d<`", "<p><em>a</em> <strong>b</strong> <del>c</del> <code>d&lt;</code></p>"),
        ("# Title", "<h1>Title</h1>"),
        ("* one\n* two", "<ul>\n<li>one</li>\n<li>two</li>\n</ul>"),
        ("3. three\n4. four", "<ol start=\"3\">\n<li>three</li>\n<li>four</li>\n</ol>"),
        ("> said", "<blockquote>\n<p>said</p>\n</blockquote>"),
        (
            "```rust\nlet a = 1 < 2;\n```",
            "<div class=\"codehilite\" data-code-language=\"rust\"><pre><span></span><code>let a = 1 &lt; 2;\n</code></pre></div>",
        ),
        ("[x](https://a.example/?a=1&b=2)", "<p><a href=\"https://a.example/?a=1&amp;b=2\">x</a></p>"),
        ("![cat](/user_uploads/1/cat.png)", "<p><a href=\"/user_uploads/1/cat.png\">cat</a></p>"),
        ("<ada@x.example>", "<p><a href=\"mailto:ada@x.example\">ada@x.example</a></p>"),
    ] {
        assert_eq!(html(content), expected, "{content}");
    }
    let table = html("|a|b|\n|-|:-:|\n|1|2|");
    assert!(table.contains("<td style=\"text-align: center;\">2</td>"), "{table}");
}

#[test]
fn addresses_become_links_without_the_sentence_around_them() {
    for (content, address) in [
        ("see https://a.example/b_c_d.", "https://a.example/b_c_d"),
        ("(http://a.example/x_(y))", "http://a.example/x_(y)"),
        ("https://a.example, and", "https://a.example"),
    ] {
        let expected = format!("<a href=\"{address}\">{address}</a>");
        assert!(html(content).contains(&expected), "{}", html(content));
    }
    for none in ["xhttp://a.example", "http://", "https:// x", "`https://a.example`"] {
        assert!(!html(none).contains("<a"), "{}", html(none));
    }
    assert_eq!(html("[https://a.example](https://b.example)").matches("<a").count(), 1);
}

#[test]
fn html_in_the_text_is_shown_and_not_followed() {
    assert_eq!(
        html("<script>alert(\"&'\")</script>"),
        "<p>&lt;script&gt;alert(&quot;&amp;&#39;&quot;)&lt;/script&gt;</p>"
    );
    assert!(!html("a <img src=x onerror=alert(1)> b").contains("<img"));
    for target in
        ["javascript:alert(1)", "JaVaScRiPt:alert(1)", " data:text/html,x", "//evil.example", "vbscript:x"]
    {
        assert_eq!(html(&format!("[x](<{target}>)")), "<p><a href=\"\">x</a></p>", "{target}");
    }
    let language = html("```\"><script>\nx\n```");
    assert!(!language.contains("<script>"), "{language}");
}

#[test]
fn mentions_name_users_by_name_or_id() {
    for (content, users, everyone) in [
        ("hi @**Bo**!", vec![2], false),
        ("@**Bo** and @**Ada <3**", vec![2, 1], false),
        ("@**bo** is somebody else", vec![], false),
        ("@**Cy|5** not @**Cy|3**x", vec![5, 3], false),
        ("@**Cy** is two people", vec![], false),
        ("@_**Bo** is not called", vec![], false),
        ("@**all** read this", vec![], true),
        ("`@**Bo**` is code", vec![], false),
        ("```\n@**Bo**\n```", vec![], false),
        ("@**Nobody**", vec![], false),
        ("a * b @**Bo** * c", vec![2], false),
    ] {
        let found = mentions(content, &names());
        assert_eq!(found.users, users.into_iter().map(UserId).collect::<Vec<_>>(), "{content}");
        assert_eq!(found.everyone, everyone, "{content}");
    }
    assert_eq!(html("@**Bo**"), "<p><span class=\"user-mention\" data-user-id=\"2\">@Bo</span></p>");
    assert_eq!(
        html("@**Ada <3**"),
        "<p><span class=\"user-mention\" data-user-id=\"1\">@Ada &lt;3</span></p>"
    );
    assert_eq!(html("@_**Bo**"), "<p><span class=\"user-mention silent\" data-user-id=\"2\">Bo</span></p>");
    assert_eq!(html("@**Nobody**"), "<p>@<strong>Nobody</strong></p>");
}

#[test]
fn what_a_text_may_name_is_found_without_reading_it() {
    let text = "hi @**Bo** @**Cy|5** `@**Ada <3**` #**design team>x** #**two** @** @_**Bo**";
    let named = |name: &str, id: Option<u32>| (name.to_owned(), id.map(UserId));
    assert_eq!(
        possible_mentions(text)[..3],
        [named("Bo", None), named("Cy|5", Some(5)), named("Ada <3", None)]
    );
    assert_eq!(possible_streams(text), ["design team", "two"]);
    assert!(possible_mentions("@**").is_empty());
}

#[test]
fn streams_and_topics_are_linked() {
    assert_eq!(
        html("#**design team>a/b**"),
        "<p><a class=\"stream-topic\" data-stream-id=\"4\" href=\"/#narrow/channel/4-design-team/topic/a.2Fb\">\
         #design team &gt; a/b</a></p>"
    );
    assert!(html("#**Design Team**").contains("class=\"stream\""));
    assert_eq!(html("#**nowhere**"), "<p>#<strong>nowhere</strong></p>");
}

#[test]
fn a_text_that_repeats_a_link_does_not_grow_without_bound() {
    let content = format!("[a]: https://a.example/{}\n\n{}", "x".repeat(5_000), "[a] ".repeat(1_200));
    assert!(html(&content).len() < 300_000, "{}", html(&content).len());
}

proptest! {
    /// Only the tags written here come out, whatever goes in.
    #[test]
    fn no_tag_of_the_text_gets_through(content in "[a-z<>&\"'`*_@#|\\[\\]()!:/ \n~-]{0,200}") {
        let html = html(&content);
        let known = ["p", "br", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ul", "ol", "li", "em", "strong", "del",
            "code", "pre", "blockquote", "a", "span", "div", "table", "thead", "tbody", "tr", "td", "th"];
        for tag in html.split('<').skip(1) {
            let name: String = tag.trim_start_matches('/').chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
            prop_assert!(known.contains(&name.as_str()), "{name:?} in {html:?}");
            prop_assert!(tag.contains('>'));
        }
    }
}
