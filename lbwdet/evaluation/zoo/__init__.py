"""Does every detector that MMDetection ships a config for run quantized?"""
