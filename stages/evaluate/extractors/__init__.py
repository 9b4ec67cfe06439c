"""Extractors: what turns windows into features, a file a network, behind one small interface (extractor.py); catalogue.py names them."""
