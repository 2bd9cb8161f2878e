"""Steps of a compiled model: columns, encoders, scalers, linear and calibrated models."""
