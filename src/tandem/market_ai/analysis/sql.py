"""What statements about reports have in common."""

ITEM_COLUMNS = "r.id, r.campaign_id, r.job_id, r.model, r.language, r.summary, r.created_at"
COLUMNS = f"{ITEM_COLUMNS}, r.recommendations, r.rejected, r.facts"
