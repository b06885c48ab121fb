"""You, Gitman and Ginsburg 2017, "Large Batch Training of Convolutional Networks" (arXiv:1708.03888)."""
