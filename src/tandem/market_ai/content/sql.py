"""What statements about content have in common."""

# What the API shows of a row: of an asset in a list, of a version, of a whole asset, of a review.
COLUMNS = """a.id, a.campaign_id, a.kind, a.title, a.status, a.current_version,
  a.approved_version, a.approved_by, a.approved_at, a.published_version, a.published_by, a.published_at,
  a.rejection, a.archived_at, a.job_id, a.variant, a.version, a.created_at, a.updated_at"""
VERSION_COLUMNS = """v.number, v.headline, v.body, v.call_to_action, v.channel, v.citations, v.model, v.created_by,
  v.job_id, v.created_at"""
VERSION_JSON = f"row_to_json((SELECT r FROM (SELECT {VERSION_COLUMNS}) r))::text"
CONTENT = f"""(SELECT row_to_json((SELECT r FROM (SELECT {VERSION_COLUMNS}) r)) FROM content_versions v
  WHERE v.org_id = a.org_id AND v.asset_id = a.id AND v.number = a.current_version)"""
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}, {CONTENT} AS content) r))::text"
REVIEW_COLUMNS = "w.id, w.number, w.action, w.reason, w.by, w.at"
