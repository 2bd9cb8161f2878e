-- Write down an alert, unless one of that name was written before. Parameters: name, when, title, body, channels.
INSERT INTO alerts (what, raised_at, title, body, channels)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (what) DO NOTHING
