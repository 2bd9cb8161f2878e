/*
description: >
  The weather observed at each airport over the last 24 hours: as it was in the newest hour known, how it
  has changed (a falling pressure and a rising dew point announce tomorrow's front), and its extremes.
owner: flight-data
key: [origin]
*/
WITH hours AS (
    SELECT *, row_number() OVER (PARTITION BY origin ORDER BY observed_at DESC) AS nth      -- 1 is the newest
    FROM weather
    WHERE observed_at >= $as_of - INTERVAL 24 HOUR
),

-- The pressure is missing for a tenth of the hours.
pressures AS (
    SELECT
        origin,
        max_by(pressure, observed_at ORDER BY observed_at) AS newest,
        min_by(pressure, observed_at ORDER BY observed_at) AS a_day_ago,
        max_by(pressure, observed_at ORDER BY observed_at)
            FILTER (WHERE observed_at <= $as_of - INTERVAL 6 HOUR) AS six_hours_ago
    FROM hours
    GROUP BY origin
)

SELECT
    hours.origin,
    max(temperature) FILTER (WHERE nth = 1) AS temperature,
    max(dew_point) FILTER (WHERE nth = 1) AS dew_point,
    max(humidity) FILTER (WHERE nth = 1) AS humidity,
    max(wind_speed) FILTER (WHERE nth = 1) AS wind_speed,
    max(wind_direction) FILTER (WHERE nth = 1) AS wind_direction,
    max(visibility) FILTER (WHERE nth = 1) AS visibility,
    max(pressures.newest) AS pressure,

    max(pressures.newest - six_hours_ago) AS pressure_change_6h,
    max(pressures.newest - a_day_ago) AS pressure_change_24h,
    max(temperature) FILTER (WHERE nth = 1)
        - max(temperature) FILTER (WHERE observed_at <= $as_of - INTERVAL 23 HOUR) AS temperature_change_24h,
    max(dew_point) FILTER (WHERE nth = 1)
        - max(dew_point) FILTER (WHERE observed_at <= $as_of - INTERVAL 23 HOUR) AS dew_point_change_24h,

    sum(precipitation) AS precipitation_24h,
    sum(precipitation) FILTER (WHERE nth <= 6) AS precipitation_6h,
    min(visibility) AS visibility_min_24h,
    max(wind_speed) AS wind_speed_max_24h,
    max(wind_gust) AS wind_gust_max_24h
FROM hours
LEFT JOIN pressures USING (origin)
GROUP BY hours.origin
