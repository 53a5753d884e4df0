"""What the pages in ``docs`` report: theory, experiments, sweeps, and MMDetection's own configs."""
