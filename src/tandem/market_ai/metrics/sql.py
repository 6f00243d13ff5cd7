"""What statements about metrics have in common."""

# What the API shows of a row. Multiplying keeps all six places; dividing would round.
COLUMNS = """m.date, m.channel, m.variant, m.impressions, m.clicks, m.conversions,
  (m.cost_micros * 0.000001)::text AS cost, (m.revenue_micros * 0.000001)::text AS revenue, m.updated_at"""
