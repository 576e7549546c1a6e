"""Rain forecasts from daily weather records, with the standard library only."""
