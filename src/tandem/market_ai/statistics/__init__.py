"""Statistics of campaigns: pure functions of plain numbers, each naming where its formula is from.

Counts are (successes, trials), such as clicks of impressions or conversions of clicks. Nothing here knows a database,
a request or a campaign, and nothing is imported but the standard library.
"""
