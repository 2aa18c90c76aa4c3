//! The requests that services for people take. Pure.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::message::NoticeText;
use crate::{
    schedule::jobs::{ChatService, fill_template},
    secret::Secret,
};

/// The maximum number of characters of a message: Discord takes 2000, and the heading and the link are part of it.
const TEXT_CHARS_MAX: usize = 1500;

/// The maximum number of characters of a heading.
const SUBJECT_CHARS_MAX: usize = 150;

/// A request over HTTP.
#[derive(Debug, Clone)]
pub(super) struct NoticeRequest {
    /// The URL, with all secrets in it.
    pub url: Secret,
    /// Headers besides the type of the body.
    pub headers: Vec<(String, Secret)>,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

/// The address of a service, with secrets in place of their names.
#[derive(Debug, Clone)]
pub(super) struct ChatAddress {
    /// The URL.
    pub url: Secret,
    /// The token, if the service has one apart from the URL.
    pub token: Option<Secret>,
    /// The chat, for Telegram.
    pub chat: Option<Secret>,
}

/// Returns the request that shows a text by `service`.
pub(super) fn request(
    service: ChatService,
    address: &ChatAddress,
    text: &NoticeText,
) -> NoticeRequest {
    let text = &NoticeText {
        subject: cut(&text.subject, SUBJECT_CHARS_MAX),
        text: cut(&text.text, TEXT_CHARS_MAX),
        ..text.clone()
    };
    match service {
        ChatService::Slack => in_json(address, &slack(text)),
        ChatService::Teams => in_json(address, &teams(text)),
        ChatService::Discord => in_json(address, &discord(text)),
        ChatService::Ntfy => ntfy(address, text),
        ChatService::Gotify => gotify(address, text),
        ChatService::Telegram => telegram(address, text),
    }
}

fn in_json(address: &ChatAddress, body: &Value) -> NoticeRequest {
    NoticeRequest {
        url: address.url.clone(),
        headers: Vec::new(),
        content_type: "application/json",
        body: body.to_string(),
    }
}

/// <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>
fn slack(text: &NoticeText) -> Value {
    let section =
        |text: String| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    let mut blocks = vec![
        section(format!("*{}*", slack_escaped(&text.subject))),
        section(format!("```{}```", slack_escaped(&text.text).replace("```", "'''"))),
    ];
    if let Some(link) = &text.link {
        let link = link.replace(['<', '>', '|'], "");
        blocks.push(section(format!("<{link}|Open the run>")));
    }
    json!({ "text": slack_escaped(&text.subject), "blocks": blocks })
}

/// <https://learn.microsoft.com/en-us/power-automate/teams/send-a-message-in-teams>
fn teams(text: &NoticeText) -> Value {
    let actions = text.link.iter();
    let actions: Vec<_> = actions
        .map(|link| json!({ "type": "Action.OpenUrl", "title": "Open the run", "url": link }))
        .collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [
                    {
                        "type": "TextBlock", "text": text.subject, "weight": "Bolder", "wrap": true,
                        "color": if text.is_good { "Good" } else { "Attention" },
                    },
                    { "type": "TextBlock", "text": text.text, "wrap": true, "fontType": "Monospace" },
                ],
                "actions": actions,
            },
        }],
    })
}

/// <https://discord.com/developers/docs/resources/webhook#execute-webhook>
fn discord(text: &NoticeText) -> Value {
    let link = text.link.as_ref().map(|link| format!("\n{link}")).unwrap_or_default();
    let body = text.text.replace("```", "'''");
    let content = format!("**{}**\n```\n{body}\n```{link}", text.subject);
    // A name in a log must not notify a user.
    json!({ "content": content, "allowed_mentions": { "parse": [] } })
}

/// <https://docs.ntfy.sh/publish/>
fn ntfy(address: &ChatAddress, text: &NoticeText) -> NoticeRequest {
    let (priority, tag) = if text.is_good { ("3", "white_check_mark") } else { ("4", "warning") };
    let mut headers = vec![
        ("Title".to_owned(), Secret::new(header(&text.subject))),
        ("Priority".to_owned(), Secret::new(priority)),
        ("Tags".to_owned(), Secret::new(tag)),
    ];
    headers.extend(text.link.iter().map(|link| ("Click".to_owned(), Secret::new(header(link)))));
    let token = address.token.iter();
    headers.extend(token.map(|token| {
        ("Authorization".to_owned(), Secret::new(format!("Bearer {}", token.reveal())))
    }));
    let (url, content_type) = (address.url.clone(), "text/plain; charset=utf-8");
    NoticeRequest { url, headers, content_type, body: text.text.clone() }
}

/// <https://gotify.net/api-docs>
fn gotify(address: &ChatAddress, text: &NoticeText) -> NoticeRequest {
    let priority = if text.is_good { 2 } else { 8 };
    let mut body = json!({ "title": text.subject, "message": text.text, "priority": priority });
    if let (Some(link), Some(fields)) = (&text.link, body.as_object_mut()) {
        let click = json!({ "client::notification": { "click": { "url": link } } });
        fields.insert("extras".into(), click);
    }
    let mut request = in_json(address, &body);
    let base = address.url.reveal().trim_end_matches('/').trim_end_matches("/message");
    request.url = Secret::new(format!("{base}/message"));
    let token = address.token.clone();
    request.headers.extend(token.map(|token| ("X-Gotify-Key".to_owned(), token)));
    request
}

/// <https://core.telegram.org/bots/api#sendmessage>
fn telegram(address: &ChatAddress, text: &NoticeText) -> NoticeRequest {
    let whole = format!("{}\n\n{}", text.subject, text.text);
    let chat = address.chat.as_ref().map(|chat| chat.reveal().to_owned());
    let preview = json!({ "is_disabled": true });
    let body = json!({ "chat_id": chat, "text": whole, "link_preview_options": preview });
    let mut request = in_json(address, &body);
    let base = address.url.reveal().trim_end_matches('/');
    let token = address.token.as_ref().map_or("", |token| token.reveal());
    request.url = Secret::new(format!("{base}/bot{token}/sendMessage"));
    request
}

/// Returns the body of a webhook with a template. In JSON each value is escaped as a part of a string.
pub(super) fn templated(template: &str, facts: &Value, text: &NoticeText) -> String {
    let is_json = template.trim_start().starts_with(['{', '[']);
    fill_template(template, |name| {
        let value = text.value(facts, name);
        if !is_json {
            return value;
        }
        let quoted = Value::from(value).to_string();
        quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
    })
}

/// The maximum number of characters of a part of a message of Slack, escaped: it takes 3000.
const SLACK_CHARS_MAX: usize = 2900;

/// Escapes what Slack reads as markup.
fn slack_escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
        if escaped.chars().count() > SLACK_CHARS_MAX {
            break;
        }
    }
    escaped
}

/// Returns a text as the value of a header, encoded as in a mail (RFC 2047) if it is not ASCII.
fn header(text: &str) -> String {
    if text.bytes().all(|byte| (b' '..127).contains(&byte)) {
        return text.to_owned();
    }
    format!("=?UTF-8?B?{}?=", STANDARD.encode(text))
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> NoticeText {
        NoticeText {
            subject: "nightly failed".into(),
            text: "<@here> ``` 530".into(),
            link: Some("https://jobs/runs/7".into()),
            is_good: false,
        }
    }

    fn of(service: ChatService, token: Option<&str>, chat: Option<&str>) -> NoticeRequest {
        let address = ChatAddress {
            url: Secret::new("https://h/x"),
            token: token.map(Secret::new),
            chat: chat.map(Secret::new),
        };
        request(service, &address, &text())
    }

    fn body(request: &NoticeRequest) -> Value {
        serde_json::from_str(&request.body).unwrap()
    }

    fn header_of<'r>(request: &'r NoticeRequest, name: &str) -> &'r str {
        request.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.reveal())
    }

    #[test]
    fn each_service_gets_the_request_of_its_documentation() {
        let slack = body(&of(ChatService::Slack, None, None));
        assert_eq!(slack["text"], "nightly failed");
        assert_eq!(slack["blocks"][1]["text"]["text"], "```&lt;@here&gt; ''' 530```");
        assert_eq!(slack["blocks"][2]["text"]["text"], "<https://jobs/runs/7|Open the run>");
        let card = &body(&of(ChatService::Teams, None, None))["attachments"][0];
        assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
        assert_eq!(card["content"]["body"][0]["text"], "nightly failed");
        assert_eq!(card["content"]["actions"][0]["url"], "https://jobs/runs/7");
        let discord = body(&of(ChatService::Discord, None, None));
        assert_eq!(
            discord["content"],
            "**nightly failed**\n```\n<@here> ''' 530\n```\nhttps://jobs/runs/7"
        );
        assert_eq!(discord["allowed_mentions"]["parse"], json!([]));
        let ntfy = of(ChatService::Ntfy, Some("tk"), None);
        assert_eq!(header_of(&ntfy, "Title"), "nightly failed");
        assert_eq!(header_of(&ntfy, "Authorization"), "Bearer tk");
        assert_eq!(header_of(&ntfy, "Click"), "https://jobs/runs/7");
        assert_eq!((ntfy.body.as_str(), ntfy.url.reveal()), ("<@here> ``` 530", "https://h/x"));
        let gotify = of(ChatService::Gotify, Some("tk"), None);
        assert_eq!(gotify.url.reveal(), "https://h/x/message");
        assert_eq!(header_of(&gotify, "X-Gotify-Key"), "tk");
        assert_eq!(body(&gotify)["priority"], 8);
        let telegram = of(ChatService::Telegram, Some("1:a"), Some("-42"));
        assert_eq!(telegram.url.reveal(), "https://h/x/bot1:a/sendMessage");
        assert_eq!(body(&telegram)["chat_id"], "-42");
    }

    #[test]
    fn a_long_text_is_cut_and_a_header_is_ascii() {
        let long = NoticeText { text: "ß".repeat(9000), subject: "größer".into(), ..text() };
        let address = ChatAddress { url: Secret::new("http://h"), token: None, chat: None };
        let discord = body(&request(ChatService::Discord, &address, &long));
        let marked = NoticeText { text: "<".repeat(9000), ..text() };
        let slack = body(&request(ChatService::Slack, &address, &marked));
        assert!(slack["blocks"][1]["text"]["text"].as_str().unwrap().chars().count() < 3000);
        assert!(discord["content"].as_str().unwrap().chars().count() < 2000);
        let ntfy = request(ChatService::Ntfy, &address, &long);
        assert_eq!(header_of(&ntfy, "Title"), "=?UTF-8?B?Z3LDtsOfZXI=?=");
    }

    #[test]
    fn a_value_in_a_template_of_json_stays_in_its_string() {
        let facts = json!({ "error": "a\"b\n" });
        assert_eq!(templated("{\"e\": \"{error}\"}", &facts, &text()), "{\"e\": \"a\\\"b\\n\"}");
        assert_eq!(templated("e={error}", &facts, &text()), "e=a\"b\n");
    }
}
