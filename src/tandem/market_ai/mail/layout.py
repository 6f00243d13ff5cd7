"""The layout of mails that name no template of their own: one column, readable without images and in the dark."""

from typing import Final

LAYOUT: Final = """\
<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ content.subject }}</title>
</head>
<body style="margin:0;padding:24px 12px;font-family:Helvetica,Arial,sans-serif;font-size:16px;line-height:1.5">
{% if content.preheader %}
<div style="display:none;max-height:0;overflow:hidden">{{ content.preheader }}</div>
{% endif %}
<div style="max-width:600px;margin:0 auto">
{% if content.headline %}<h1 style="font-size:26px;line-height:1.25">{{ content.headline }}</h1>{% endif %}
{{ content.body }}
{% if content.url and content.call_to_action %}
<p><a href="{{ content.url }}" style="display:inline-block;padding:12px 20px;border-radius:6px;background:#1a5fb4;
color:#ffffff;text-decoration:none;font-weight:bold">{{ content.call_to_action }}</a></p>
{% elif content.call_to_action %}<p><strong>{{ content.call_to_action }}</strong></p>{% endif %}
<hr style="border:0;border-top:1px solid #bbbbbb;margin:32px 0 16px">
<p style="font-size:13px;color:#6b6b6b">{{ sender.name }}
{% if sender.postal_address %}<br>{{ sender.postal_address }}{% endif %}<br>
<a href="{{ unsubscribe_url }}" style="color:#6b6b6b">Unsubscribe</a></p>
</div>
</body>
</html>
"""
