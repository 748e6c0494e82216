"""Can a surrogate be trusted?"""
