"""The loss around a solution: sharpness, curvature and slices; import from the modules."""
